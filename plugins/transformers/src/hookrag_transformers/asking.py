"""What Hugging Face says of a model, within a time that one waits for; what its refusal or silence means, and what to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from hookrag_transformers.models import HubName, ModelError

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.hf_api import ModelInfo

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds in which the hub must answer where a package has the model too; where none has, it may take LONG_PATIENCE."""
LONG_PATIENCE = 30.0


class HubSilent(ModelError):
    """No hub answers: none can be reached, it fails, or what answers is none. `why` says it in a few words."""

    def __init__(self, message: str, why: str) -> None:
        super().__init__(message)
        self.why = why


def endpoint() -> str:
    """The address of the hub: HF_ENDPOINT as it is now (the client reads it once, when it is imported), or the public one."""
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def ask(api: HfApi, name: HubName, revision: str | None, patience: float) -> ModelInfo:
    """The commit and the files of the model. Raises HubSilent, also where what answers is no hub, or ModelError."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]

    hub = endpoint()
    host = hub.partition("://")[2]
    try:
        # The client's own limit, after which nothing waits any more, begins again at each address that it tries.
        return _within(patience, lambda: api.model_info(name.id, revision=revision, timeout=2 * patience))
    except (HTTPError, OSError) as error:
        told = f"model {name}: {reason(name, error)}"
        if constants.is_offline_mode():
            raise HubSilent(told, "HF_HUB_OFFLINE is set") from error
        if not isinstance(error, HfHubHTTPError):
            raise HubSilent(told, f"{host} does not answer ({error})") from error
        if _refuses(error):
            raise ModelError(told) from error
        raise HubSilent(told, f"{host} answered {error.response.status_code}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise HubSilent(
            f"model {name}: what {hub} answered does not describe a model ({type(error).__name__}: {error}): "
            "see whether HF_ENDPOINT is right, and whether a proxy or a page to log in stands between",
            f"{host} answered what does not describe a model",
        ) from error


def _refuses(error: HfHubHTTPError) -> bool:
    """Whether a hub says no: a gateway that answers for it, with 403 or 404, gives no code; 429 and 5xx pass by."""
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    status = error.response.status_code
    known = (
        isinstance(error, RepositoryNotFoundError | RevisionNotFoundError) or "X-Error-Code" in error.response.headers
    )
    return (known or status == 401) and status != 429 and status < 500


def _within(seconds: float, call: Callable[[], T]) -> T:
    """What the call returns. Raises TimeoutError after so long."""
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)

    Thread(target=run, daemon=True).start()  # a process that ends does not wait for it
    if not wait([answer], seconds).done:
        raise TimeoutError(f"no answer in {seconds:g} s")
    return answer.result()


def reason(name: HubName, error: Exception) -> str:
    """What an error of the client means, and what to do."""
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    hub = endpoint()
    page = f"{hub}/{name.id}"
    if constants.is_offline_mode():
        return "HF_HUB_OFFLINE is set, so that nothing is downloaded: unset it, or copy the model's folder here"
    if isinstance(error, GatedRepoError):
        return f"it is gated: accept its terms at {page} and set HF_TOKEN to a token of that account"
    if isinstance(error, RevisionNotFoundError):
        return f"it has no revision {name.revision!r}: see {page}"
    if isinstance(error, RepositoryNotFoundError):
        return f"there is none at {page}, or it is private: check the spelling, and HF_TOKEN for a private one"
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        if status in (401, 403):
            return f"{hub} answered {status}: set HF_TOKEN to a token of an account that may read {page}"
        if status == 429 or status >= 500:
            return f"{hub} answered {status}: try again later"
        return f"{hub} answered {status}: see {page}"
    return f"{hub} cannot be reached or broke off ({error}): fetch again, what came is kept; HF_ENDPOINT names a mirror"
