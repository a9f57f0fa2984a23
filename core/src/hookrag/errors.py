"""Every error that hookrag raises on purpose; the message alone says where, what, got, expected and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


class HookragError(Exception):
    """The base of all errors below: catch this one to catch whatever hookrag raises on purpose."""


class ConfigError(HookragError):
    """The configuration cannot be used; `problems` holds every one of them, in the order of the file."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)  # what processes send each other is made anew from its arguments


class PluginError(HookragError):
    """An installed plugin cannot be loaded, or two of them claim one name."""


class ContractError(HookragError):
    """A component broke its contract: it returned something that its protocol does not allow."""


class ComponentError(HookragError):
    """A component failed; the message names its table in the configuration and the cause is chained."""


class DeadlineExceeded(HookragError):
    """The time that the caller gave is over."""


class Cancelled(HookragError):
    """Whoever asked went away: a stream was closed, or the task that awaited the answer was cancelled."""


class BudgetExceeded(HookragError):
    """A limit on calls or tokens that the configuration sets would be passed."""


class TransientError(HookragError):
    """A failure that may pass by itself (a time-out, a busy server): worth trying again."""


class ItemRejected(HookragError):
    """One item cannot be taken by a component, whatever is tried: the others of its batch can."""


class IdentityError(HookragError):
    """An index was made with another embedder, chunker or owner than it is opened with."""


class IndexLocked(HookragError):
    """Another process is writing the index."""


class IngestRefused(HookragError):
    """The run stopped before it could lose something; the message names the option that allows it."""


class IngestStopped(HookragError):
    """The run stopped at a failure that concerns everything; what is finished is kept and the same command goes on.

    `report`, a `hookrag.ingest.Report`, holds what was done until then.
    """

    report: Any = None


class JournalDamaged(IngestStopped):
    """The file of the journal is not what SQLite wrote: the same command again does not help."""


class ReadError(HookragError):
    """A file cannot be turned into documents."""


def nearest(name: str, known: Iterable[str]) -> str:
    """ " (did you mean 'bm25'?)", for an error about a name that is not known; "" where none is near."""
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), 1)
    return f" (did you mean {near[0]!r}?)" if near else ""
