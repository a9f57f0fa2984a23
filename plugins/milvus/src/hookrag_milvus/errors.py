"""What pymilvus raises, sorted by what can be done about it."""

from __future__ import annotations

from hookrag import HookragError, TransientError


class Refused(HookragError):
    """The engine refuses what it was asked or sent: the same again fails again, a part of it may not."""


class TooLarge(HookragError):
    """The request or the reply is over a limit in bytes: half of it may not be."""


class NotLoaded(HookragError):
    """The collection has to be loaded first."""


_NOT_LOADED = 101
_UNREACHABLE, _RATE_LIMIT = 2, 8
_REFUSALS = frozenset({5, 6, 1100, 65535})
# Two writers of one Lite collection around a flush: the rows are stored, the answer is this.
_LATE_SEQUENCE = "current_seq is monotonic"


def raised() -> tuple[type[Exception], ...]:
    """What calls of pymilvus raise: its own errors, and those of gRPC, which some calls let through as they are."""
    import grpc  # type: ignore[import-untyped]  # grpcio has no stubs
    from pymilvus.exceptions import MilvusException

    return MilvusException, grpc.RpcError


def translated(error: Exception, doing: str) -> HookragError:
    """The hookrag error for what a call of pymilvus raised; `doing` says where and what."""
    import grpc
    from pymilvus.exceptions import DataNotMatchException, MilvusException, ParamError

    error = _first(error)
    code: object = None
    message = str(error)
    retriable = False
    if isinstance(error, grpc.RpcError):
        code, message = error.code(), error.details() or str(error)
    elif isinstance(error, MilvusException):
        code, message, retriable = error.code, error.message or str(error), error.retriable
    text = f"{doing}: {message}"
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return TooLarge(text)
    if code == _NOT_LOADED:
        return NotLoaded(text)
    passing = (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        _UNREACHABLE,
        _RATE_LIMIT,
    )
    if retriable or code in passing or _LATE_SEQUENCE in message:
        return TransientError(text)
    if isinstance(error, DataNotMatchException | ParamError) or code in _REFUSALS:
        return Refused(text)
    return HookragError(f"{text} ({type(error).__name__})")


def _first(error: Exception) -> Exception:
    """What was raised before pymilvus said that it does not repeat the call, which hides the kind of error."""
    while "Retry run out of" in str(error) and isinstance(error.__context__, raised()):
        error = error.__context__
    return error
