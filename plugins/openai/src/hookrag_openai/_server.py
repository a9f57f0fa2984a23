"""One OpenAI-compatible server: where it is, with which key, and its failures in hookrag's words."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Annotated, TypeAlias, TypeVar
from urllib.parse import urlsplit

from hookrag import DeadlineExceeded, HookragError, NotEmpty, TransientError, time_left

if TYPE_CHECKING:
    import openai

T = TypeVar("T")

Model: TypeAlias = Annotated[str, NotEmpty(), "the name by which the server knows the model"]
BaseUrl: TypeAlias = Annotated[str, "where the API begins; a user, a password or a query in it is refused"]
KeyEnv: TypeAlias = Annotated[
    str, "the environment variable that holds the key; it may be missing for a server on this machine"
]

OPENAI = "https://api.openai.com/v1"
# A loopback server asks for no key, but the client sends one with every request.
_NO_KEY = "none"
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class Served:
    """What the server says about the model: its window in tokens (None: not said), and whether it is llama.cpp's."""

    window: int | None = None
    llamacpp: bool = False


class Server:
    """A server, one of its models, and how many requests may run at once. No I/O before `open`."""

    def __init__(self, *, model: str, base_url: str, api_key_env: str, timeout: float, concurrency: int) -> None:
        parts = urlsplit(base_url)
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "base_url must not carry a user, a password, a query or a fragment: "
                "put the key into an environment variable and name that one in api_key_env"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"base_url must begin with http:// or https:// and name a host, got {base_url!r}")
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", api_key_env):
            raise ValueError(
                "api_key_env must be the name of an environment variable (capital letters, digits, _), "
                "not the key itself"
            )
        self.model = model
        self.base_url = base_url.rstrip("/")
        self.host = parts.hostname
        self._api_key_env = api_key_env
        self._timeout = timeout
        self._slots = BoundedSemaphore(concurrency)
        self._client: openai.OpenAI | None = None
        self._key = ""

    @property
    def where(self) -> str:
        """The model and the server, for messages."""
        return f"model {self.model!r} at {self.base_url}"

    def open(self) -> None:
        """Make the client; raises HookragError where a server that is not on this machine has no key."""
        key = os.environ.get(self._api_key_env, "").strip()
        if not key and not _is_loopback(self.host):
            raise HookragError(
                f"{self.where} needs a key: the environment variable {self._api_key_env} is not set. Set it "
                f"(to any text where the server wants none), or name another variable in api_key_env"
            )
        from openai import OpenAI

        self._key = key
        # Retrying is the business of the `retry` middleware, which knows the deadline and is seen in the trace.
        self._client = OpenAI(api_key=key or _NO_KEY, base_url=self.base_url, timeout=self._timeout, max_retries=0)

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def ask(self, request: Callable[[openai.OpenAI, float], T]) -> T:
        """What the request returns, given the client and the seconds it may take; its failures as hookrag's errors."""
        client = self._client
        if client is None:
            raise HookragError(f"{self.where} is not open")
        import openai

        left = time_left()
        if not self._slots.acquire(timeout=left):
            raise DeadlineExceeded(f"the deadline passed while {self.where} was busy: give more time")
        try:
            limit = self._limit()
            return request(client, limit)
        except openai.OpenAIError as error:
            raise self._failure(error, limit) from None  # the text of its cause may repeat the key
        except json.JSONDecodeError as error:
            raise HookragError(f"{self._not_openai()}: {self._said(str(error))}") from None
        finally:
            self._slots.release()

    def _limit(self) -> float:
        left = time_left()
        return self._timeout if left is None else max(min(self._timeout, left), 0.001)

    def served(self) -> Served:
        """Ask the server for its models. Raises HookragError where it has one model and that is another.

        A server of a single model (llama.cpp's) answers requests for any name, so that a mistake would not show; those
        of several refuse an unknown name themselves. A server that does not list its models is taken at its word.
        """
        import openai

        def listed(client: openai.OpenAI, limit: float) -> list[openai.types.Model]:
            try:
                return list(client.models.list(timeout=limit).data or [])
            except openai.APIStatusError as error:
                if error.status_code in (404, 405, 501):
                    return []
                raise

        models = self.ask(listed)
        if not all(hasattr(each, "id") for each in models):
            raise HookragError(f"{self._not_openai()}: its list of models is not one")
        for each in models:
            extra = each.model_extra or {}
            aliases = extra.get("aliases")
            names = {each.id, each.id.removesuffix(":latest"), *(aliases if isinstance(aliases, list) else ())}
            if self.model in names:
                meta = extra.get("meta")
                window = meta.get("n_ctx") if isinstance(meta, dict) else extra.get("max_model_len")
                llamacpp = getattr(each, "owned_by", "") == "llamacpp"
                if llamacpp:
                    self._close_each_connection()
                return Served(window if isinstance(window, int) else None, llamacpp)
        if len(models) == 1:
            raise HookragError(
                f"{self.base_url} does not serve the model {self.model!r}: its only model is {models[0].id!r}"
            )
        return Served()

    def _close_each_connection(self) -> None:
        # llama.cpp's server gives a thread to every connection, also to one that only waits: with more connections than
        # threads (its slots + 4) a request stands still for the 5 seconds after which an idle one is closed.
        assert self._client is not None
        self._client = self._client.with_options(default_headers={"Connection": "close"})

    def unexpected(self, what: str) -> HookragError:
        """The error for an answer that is not in the format."""
        return HookragError(f"{self._not_openai()}: {what}")

    def _not_openai(self) -> str:
        return (
            f"{self.where} did not answer in the format of OpenAI's API (base_url has to end where the API begins, "
            f"usually with /v1)"
        )

    def _said(self, text: str) -> str:
        """What the server said, in one line, short, and without the key."""
        line = " ".join(text.split())
        if self._key:
            line = line.replace(self._key, "***")
        return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."

    def _failure(self, error: openai.OpenAIError, limit: float) -> HookragError:
        import openai

        if isinstance(error, openai.APITimeoutError):
            if time_left() == 0:
                return DeadlineExceeded(f"the deadline passed while {self.where} was answering: give more time")
            return TransientError(f"{self.where} did not answer within {limit:g} s")
        if isinstance(error, openai.APIConnectionError):
            return TransientError(f"{self.where} cannot be reached or broke the connection off: is it running?")
        if not isinstance(error, openai.APIStatusError):
            return HookragError(f"{self.where} failed: {self._said(str(error))}")
        status = error.status_code
        message = error.message.removeprefix(f"Error code: {status}").removeprefix(" - ")
        said = self._said(message or str(error.body or error.response.reason_phrase))
        if status in (401, 403):
            return HookragError(
                f"{self.where} refused the key (HTTP {status}): {said}. Put a key that is valid "
                f"for this server and model into the environment variable {self._api_key_env}"
            )
        if status == 404:
            return HookragError(
                f"{self.where} was not found (HTTP 404): {said}. Check the model's name, and that base_url ends "
                f"where the API begins (usually with /v1)"
            )
        if error.code == "insufficient_quota":
            return HookragError(f"{self.where} refused the request (HTTP {status}): {said}. The account is used up")
        if status in _PASSING:
            after = error.response.headers.get("retry-after", "")
            wait = f"; it asks to wait {after} s" if after.isdecimal() else ""
            return TransientError(f"{self.where} failed (HTTP {status}): {said}{wait}")
        return HookragError(f"{self.where} refused the request (HTTP {status}): {said}")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
