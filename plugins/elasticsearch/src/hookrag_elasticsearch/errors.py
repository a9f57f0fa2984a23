"""What the client raises and the server answers, sorted by what can be done about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hookrag import HookragError, TransientError


class NotFound(HookragError):
    """There is no such index, alias or document."""


class Conflict(HookragError):
    """Somebody else was there first: a newer version, or an index of that name."""


class TooLarge(HookragError):
    """The request is over the server's limit in bytes: half of it may not be."""


class Refused(HookragError):
    """The server refuses what it was sent: the same again fails again."""


_PASSING = frozenset({408, 429, 502, 503, 504})
_CONFLICTS = frozenset({"resource_already_exists_exception", "version_conflict_engine_exception"})
_MAX_REASON = 300


def raised() -> tuple[type[Exception], ...]:
    """What calls of the client raise."""
    from elastic_transport import ApiError, TransportError

    return ApiError, TransportError


def reason_of(error: object) -> str:
    """What the server says about a failure, from the innermost cause that it names."""
    told = []
    while isinstance(error, Mapping):
        shards = error.get("failed_shards")
        if shards and isinstance(shards[0], Mapping):
            error = shards[0].get("reason")
            continue
        told.append(_cut(f"{error.get('type')}: {error.get('reason')}"))
        error = error.get("caused_by")
    if error is not None:
        told.append(_cut(str(error)))
    return ", caused by ".join(told)


def _cut(text: str) -> str:
    # Some reasons repeat the whole value that they are about.
    return text if len(text) <= _MAX_REASON else text[: _MAX_REASON - 3] + "..."


def answered(status: int, error: object, doing: str) -> HookragError:
    """The error of hookrag for an answer of the server that is no success; `doing` says where and what."""
    kind = error.get("type") if isinstance(error, Mapping) else ""
    text = f"{doing}: {reason_of(error)} (status {status})"
    if status in _PASSING:
        return TransientError(text)
    if kind == "media_type_header_exception":
        return HookragError(
            f"{text}: the Python client is newer than the server: install the client of the server's version, "
            'pip install "elasticsearch<9" for a server 8'
        )
    if status == 401:
        return HookragError(
            f"{text}: the server refuses the credentials: check the variables that username_env and password_env, or "
            "api_key_env, name"
        )
    if status == 403 and kind == "cluster_block_exception":
        return HookragError(f"{text}: the index is blocked on purpose: remove the block, then go on")
    if status == 403:
        return HookragError(
            f"{text}: the user or API key lacks a privilege: give it read, write, create_index, view_index_metadata, "
            "manage on the index"
        )
    if kind == "index_not_found_exception":
        return NotFound(f"{text}: the index was deleted, or is not there yet: open the store anew")
    if status == 404:
        return NotFound(text)
    if status == 409 or kind in _CONFLICTS:
        return Conflict(text)
    if status == 413:
        return TooLarge(text)
    if kind == "index_closed_exception":
        return HookragError(f"{text}: open the index on the server")
    return Refused(text) if status == 400 else HookragError(text)


def translated(error: Exception, doing: str) -> HookragError:
    """The error of hookrag for what a call of the client raised."""
    import elastic_transport as transport
    from elasticsearch import UnsupportedProductError

    if isinstance(error, UnsupportedProductError):
        return HookragError(f"{doing}: what answers there is not Elasticsearch: check the url and its port")
    if isinstance(error, transport.ApiError):
        body: Any = error.body
        told = body.get("error", body) if isinstance(body, Mapping) else body or error.message
        return answered(error.meta.status, told, doing)
    if isinstance(error, transport.ConnectionTimeout):
        return TransientError(f"{doing}: no answer in time: raise timeout, or see whether the server is overloaded")
    if isinstance(error, transport.TlsError):
        return HookragError(
            f"{doing}: {error.message}: the server's certificate was not accepted: name its authority's file by ca_file, and "
            "the server as the certificate does"
        )
    if isinstance(error, transport.ConnectionError):
        return TransientError(
            f"{doing}: no connection: {error.message}: is the server running, and is the url right, http or https?"
        )
    return HookragError(f"{doing}: {type(error).__name__}: {error}")
