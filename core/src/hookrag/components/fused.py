"""Several retrievers asked at once, their rankings made one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Literal

from hookrag.errors import DeadlineExceeded, HookragError
from hookrag.options import AtLeast, NotEmpty, checked
from hookrag.protocols import Fuser, Retriever
from hookrag.runtime.request import fan_out
from hookrag.runtime.trace import note
from hookrag.values import Query, Ranking


class Fused:
    """Asks every retriever for `depth` hits (k, if that is more), concurrently, and fuses them.

    `on_error = "skip"` leaves out a retriever that fails, as long as one does not; the trace and `notes` of the rankings say
    which and why.
    """

    @checked
    def __init__(
        self,
        *,
        retrievers: Annotated[list[Retriever], NotEmpty("retriever"), "all are asked"],
        fuser: Annotated[Fuser, "makes one ranking of theirs"],
        depth: Annotated[int, AtLeast(1), "hits that each is asked for; as many as are wanted, if that is more"] = 100,
        on_error: Annotated[
            Literal["fail", "skip"], "whether one that fails fails all, or is left out as long as another answers"
        ] = "fail",
    ) -> None:
        self.retrievers = retrievers
        self.fuser = fuser
        self.depth = depth
        self.on_error = on_error

    def retrieve(self, queries: Sequence[Query], /, *, k: int) -> list[Ranking]:
        depth = max(self.depth, k)
        calls: list[Callable[[], list[Ranking] | HookragError]] = [
            partial(self._ask, retriever, queries, depth) for retriever in self.retrievers
        ]
        legs: list[list[Ranking]] = []
        errors: list[HookragError] = []
        skipped: list[str] = []
        for number, answer in enumerate(fan_out(calls)):
            if isinstance(answer, HookragError):
                errors.append(answer)
                skipped.append(f"retriever {number + 1} of {len(calls)}: {answer}")
                # An empty leg keeps the fuser's weights at their places.
                legs.append([])
            else:
                legs.append(answer)
        if skipped:
            note(skipped=skipped)
        if len(errors) == len(legs):
            raise errors[0]
        like = next(leg for leg in legs if leg or not queries)
        whole = [leg or [replace(ranking, hits=()) for ranking in like] for leg in legs]
        fused = self.fuser.fuse(whole, k=k)
        if skipped:
            fused = [replace(ranking, notes={**ranking.notes, "skipped": skipped}) for ranking in fused]
        return [Ranking(one.query, one.hits, "fused", one.kind, one.notes, one.outside) for one in fused]

    def _ask(self, retriever: Retriever, queries: Sequence[Query], depth: int) -> list[Ranking] | HookragError:
        if self.on_error == "fail":
            return retriever.retrieve(queries, k=depth)
        try:
            return retriever.retrieve(queries, k=depth)
        except DeadlineExceeded:
            raise
        except HookragError as error:
            return error
