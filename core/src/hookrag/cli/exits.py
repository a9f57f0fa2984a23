"""What the exit codes of the command line mean."""

from __future__ import annotations

from enum import IntEnum

from hookrag.errors import ConfigError, HookragError, IndexLocked, IngestRefused


class Exit(IntEnum):
    """An exit code."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    PARTLY = 4
    LOCKED = 5
    INTERRUPTED = 130


def code_of(error: BaseException) -> Exit | None:
    """The exit code for an error of hookrag or of a file; None for any other, which is a defect and keeps its traceback."""
    for kind, code in (
        (ConfigError, Exit.USAGE),
        (IngestRefused, Exit.REFUSED),
        (IndexLocked, Exit.LOCKED),
        (HookragError, Exit.FAILED),
        (OSError, Exit.FAILED),
    ):
        if isinstance(error, kind):
            return code
    return None
