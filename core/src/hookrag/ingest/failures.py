"""The three classes of errors: of an item, in passing, and of the system."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from hookrag.errors import ComponentError, ContractError, IngestRefused, IngestStopped, ItemRejected, TransientError

if TYPE_CHECKING:
    from hookrag.ingest.report import Report

T = TypeVar("T")
R = TypeVar("R")

STREAK = 20
"""So many equal failures in a row are a failure of the system, not of the items."""


class RemovalRefused(IngestRefused):
    """Everything was done but the removals, of which there were too many to believe in; `report` says what was done."""

    def __init__(self, message: str, report: Report) -> None:
        super().__init__(message)
        self.report = report


def persistently(call: Callable[[], R], seconds: float) -> R:
    """The result of the call, which is made again after each TransientError until `seconds` are over."""
    # Imported here, like numpy elsewhere in the ingest: whoever only asks a pipeline does not wait for it.
    from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

    retrying = Retrying(
        retry=retry_if_exception_type(TransientError),
        stop=stop_after_delay(seconds),
        wait=wait_random_exponential(multiplier=0.1, max=10),
        reraise=True,
    )
    return retrying(call)


def refuses_item(error: Exception) -> bool:
    """Whether the error is about one of the items, so that the others may pass."""
    return isinstance(error, ItemRejected)


def refuses_text(error: Exception) -> bool:
    """Whether an embedder's error is about one of the texts: a broken promise may be, as a vector that is not finite."""
    return isinstance(error, ItemRejected | ContractError)


def refuses_document(error: Exception) -> bool:
    """Whether a chunker's error is about one of the documents, over which it may also stumble."""
    cause = error.__cause__ if isinstance(error, ComponentError) else error
    return isinstance(cause, ItemRejected | ContractError | ValueError)


def bisected(
    items: Sequence[T], call: Callable[[Sequence[T]], R], refuses: Callable[[Exception], bool]
) -> Iterator[tuple[Sequence[T], R | Exception]]:
    """The items in order, in parts that passed, each with the result, and single items that did not, with the error."""
    if not items:
        return
    try:
        result = call(items)
    except Exception as error:
        if not refuses(error):
            raise
        if len(items) == 1:
            yield items, error
            return
        half = len(items) // 2
        yield from bisected(items[:half], call, refuses)
        yield from bisected(items[half:], call, refuses)
    else:
        yield items, result


@dataclass(slots=True)
class _Streak:
    reason: str = ""
    documents: list[str] = field(default_factory=list)


class Streaks:
    """Counts equal failures in a row at each stage and stops the run at the twentieth."""

    def __init__(self) -> None:
        self._stages: dict[str, _Streak] = {}

    def passed(self, stage: str) -> None:
        """An item passed the stage."""
        if stage in self._stages:
            del self._stages[stage]

    def failed(self, stage: str, document: str, reason: str) -> None:
        """A document failed at the stage; raises IngestStopped when it is one too many in a row."""
        like = re.sub(r"[0-9a-f]{32}|\d+", "#", reason.replace(document, "ID"))
        streak = self._stages.setdefault(stage, _Streak())
        if streak.reason != like:
            streak.reason, streak.documents = like, []
        if document not in streak.documents:
            streak.documents.append(document)
        if len(streak.documents) >= STREAK:
            raise IngestStopped(
                f"{STREAK} documents in a row failed at {stage} in the same way, so this is not about the documents: {reason}"
            )

    def documents(self) -> list[str]:
        """The documents of the streaks that are as long as it takes: they did not fail by themselves."""
        return [one for streak in self._stages.values() if len(streak.documents) >= STREAK for one in streak.documents]
