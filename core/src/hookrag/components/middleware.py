"""Middleware that most pipelines want: retry, cache, budget, redaction. They work together in any order.

The first listed is the outermost: a cache outside a budget answers without spending, a budget outside a cache counts all calls.
"""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import astuple, replace
from hashlib import blake2b
from typing import Annotated, Any, Literal

from hookrag.errors import BudgetExceeded, TransientError
from hookrag.options import Above, AtLeast, NotEmpty, checked
from hookrag.protocols import Call, Proceed
from hookrag.runtime.request import current_request, time_left
from hookrag.runtime.trace import note
from hookrag.values import Vectors

Kind = Literal["chunker", "embedder", "store", "retriever", "fuser", "reranker", "llm", "generator"]


class Retry:
    """Makes a call again when it failed with a TransientError, after growing waits, within `seconds` and the deadline.

    A call that has streamed a piece of its result is not made again.
    """

    @checked
    def __init__(
        self,
        *,
        attempts: Annotated[int, AtLeast(1), "how often a call is made, the first time included"] = 4,
        seconds: Annotated[float, Above(0), "no attempt begins after these"] = 30.0,
        wait: Annotated[float, AtLeast(0), "seconds before the second attempt; later waits grow"] = 0.2,
        kinds: Annotated[list[Kind] | None, "the kinds of component that are tried again; all unless given"] = None,
    ) -> None:
        self.attempts = attempts
        self.seconds = seconds
        self.wait = wait
        self.kinds = kinds

    def around(self, call: Call, proceed: Proceed, /) -> Any:
        if self.kinds is not None and call.step.kind not in self.kinds:
            return proceed(call)
        # What a component inside gave up on fails again: tried by all who called it, four attempts would become 4 ** depth.
        given_up: list[BaseException] = current_request().state.setdefault(self, [])
        streamed, watched = _watch(call)
        try:
            return proceed(watched)
        except TransientError as error:
            if streamed or self.attempts == 1 or any(error is one for one in given_up):
                raise
            first = error
        try:
            return self._again(watched, streamed, proceed, first)
        except TransientError as error:
            given_up.append(error)
            raise

    def _again(self, call: Call, streamed: list[bool], proceed: Proceed, first: TransientError) -> Any:
        # Loaded at the first failure: most processes never need it.
        from tenacity import (
            Retrying,
            retry_if_exception,
            stop_after_attempt,
            stop_before_delay,
            wait_random_exponential,
        )

        def attempt() -> Any:
            if retrying.statistics["attempt_number"] == 1:
                raise first  # has been made: what is left is to wait and to make the others
            note(retries=1)
            return proceed(call)

        left = time_left()
        retrying = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, TransientError) and not streamed),
            stop=stop_after_attempt(self.attempts)
            | stop_before_delay(self.seconds if left is None else min(self.seconds, left)),
            wait=wait_random_exponential(multiplier=self.wait, max=5),
            reraise=True,
        )
        return retrying(attempt)


def _watch(call: Call) -> tuple[list[bool], Call]:
    """The call with an `emit` that leaves a mark once anything passed through it."""
    emit = call.options.get("emit")
    marks: list[bool] = []
    if emit is None:
        return marks, call

    def watched(*piece: Any) -> None:
        if not marks:
            marks.append(True)
        emit(*piece)

    return marks, replace(call, options={**call.options, "emit": watched})


class Cache:
    """Keeps results in memory, item by item: vectors of texts, and completions that are the same each time.

    A text that was embedded, or a prompt that was completed at temperature 0 or with a seed, is not computed again by the same
    component; only what is new in a batch is. The `size` items used last are kept.
    """

    @checked
    def __init__(self, *, size: Annotated[int, AtLeast(1), "items that are kept: those used last"] = 10_000) -> None:
        self.size = size
        self._kept: OrderedDict[bytes, Any] = OrderedDict()
        self._lock = threading.Lock()

    def around(self, call: Call, proceed: Proceed, /) -> Any:
        embeds = call.operation == "embed"
        if not (embeds or _repeatable(call)) or not call.items:
            return proceed(call)
        options = {name: value for name, value in call.options.items() if name != "emit"}
        told = json.dumps([call.step.fingerprint, options], sort_keys=True, default=_json)
        keys = [
            blake2b((told + _item(item)).encode("utf-8", "surrogatepass"), digest_size=16).digest()
            for item in call.items
        ]
        with self._lock:
            known = {key: self._kept[key] for key in keys if key in self._kept}
            for key in known:
                self._kept.move_to_end(key)
        first = {key: index for index, key in reversed(list(enumerate(keys))) if key not in known}
        fresh = sorted(first.items(), key=lambda item: item[1])
        if fresh:
            part = self._part(call, [index for _, index in fresh])
            result = proceed(part)
            for row, (key, _) in enumerate(fresh):
                known[key] = _take(result, row) if embeds else result[row]
            with self._lock:
                self._kept.update((key, known[key]) for key, _ in fresh)
                while len(self._kept) > self.size:
                    self._kept.popitem(last=False)
        note(cached=len(keys) - len(fresh))
        return _stack([known[key] for key in keys]) if embeds else [known[key] for key in keys]

    def _part(self, call: Call, rows: Sequence[int]) -> Call:
        emit = call.options.get("emit")
        options = call.options
        if emit is not None:
            options = {**options, "emit": lambda index, *piece: emit(rows[index], *piece)}
        return replace(call, items=[call.items[row] for row in rows], options=options)


def _repeatable(call: Call) -> bool:
    options = call.options
    return call.operation == "complete" and (not options.get("temperature") or options.get("seed") is not None)


def _json(value: Any) -> Any:
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


def _item(item: Any) -> str:
    return item if isinstance(item, str) else json.dumps([astuple(turn) for turn in item], ensure_ascii=False)


def _take(vectors: Vectors, row: int) -> Vectors:
    from hookrag.components.vectors import take

    return take(vectors, [row])


def _stack(parts: Sequence[Vectors]) -> Vectors:
    from hookrag.components.vectors import stack

    return stack(parts)


_ASIDE = frozenset({"card", "count", "identity", "measure", "room", "stamp", "sync", "tokens"})
"""What a component is asked about itself, or about the length of a text: it answers nothing, and no budget counts it."""


class Budget:
    """Refuses a call that would pass a limit: so many calls, or tokens of language models, in a request or altogether.

    `calls` is checked before a call, `tokens` once they were spent: the call after the one that passes the limit is refused.
    """

    @checked
    def __init__(
        self,
        *,
        calls: Annotated[int | None, AtLeast(0), "calls that may be made"] = None,
        tokens: Annotated[int | None, AtLeast(0), "tokens that language models may read and write"] = None,
        per: Annotated[
            Literal["request", "process"], "what the limit is for: each request, or all together"
        ] = "request",
        kinds: Annotated[list[Kind] | None, 'the kinds of component whose calls count; `["llm"]` unless given'] = None,
    ) -> None:
        if calls is None and tokens is None:
            raise ValueError("a budget needs `calls` or `tokens`")
        self.calls = calls
        self.tokens = tokens
        self.per = per
        self.kinds = ["llm"] if kinds is None else kinds
        if tokens is not None and "llm" not in self.kinds:
            raise ValueError(f"tokens are those of language models: add 'llm' to kinds, got {', '.join(self.kinds)}")
        self._lock = threading.Lock()
        self._spent = {"calls": 0, "tokens": 0}

    def around(self, call: Call, proceed: Proceed, /) -> Any:
        if call.step.kind not in self.kinds or call.operation in _ASIDE:
            return proceed(call)
        spent = (
            self._spent
            if self.per == "process"
            else current_request().state.setdefault(self, {"calls": 0, "tokens": 0})
        )
        with self._lock:
            for what, limit in (("calls", self.calls), ("tokens", self.tokens)):
                if limit is not None and spent[what] >= limit:
                    raise BudgetExceeded(
                        f"the budget of {limit} {what} per {self.per} is spent, before {call.step} {call.operation}: "
                        f"raise `{what}` of the budget or ask for less"
                    )
            spent["calls"] += 1
        result = proceed(call)
        if call.operation == "complete":
            used = sum(one.usage.prompt_tokens + one.usage.completion_tokens for made in result for one in made)
            with self._lock:
                spent["tokens"] += used
        return result


class Redact:
    """Masks what matches the patterns in every text that goes to an embedder or a language model.

    What was masked does not come back: the text that is indexed and shown is untouched, only what the models read changes.
    """

    @checked
    def __init__(
        self,
        *,
        patterns: Annotated[
            list[str], NotEmpty("regular expression"), "regular expressions: what they match is masked"
        ],
        replacement: Annotated[str, "what stands in its place"] = "[redacted]",
        kinds: Annotated[list[Literal["embedder", "llm"]] | None, "whose texts are masked; both unless given"] = None,
    ) -> None:
        try:
            self._pattern = re.compile("|".join(f"(?:{pattern})" for pattern in patterns))
        except re.error as error:
            raise ValueError(f"patterns: not a regular expression: {error}") from error
        self.patterns = patterns
        self.replacement = replacement
        self.kinds = kinds

    def around(self, call: Call, proceed: Proceed, /) -> Any:
        if call.step.kind not in (self.kinds or ("embedder", "llm")) or call.operation == "tokens":
            return proceed(call)  # spans of tokens are those of the text itself, which chunkers cut by
        options = {
            name: [self._mask(text) for text in value] if name in ("continuations", "prefixes") and value else value
            for name, value in call.options.items()
        }
        return proceed(replace(call, items=[self._mask(item) for item in call.items], options=options))

    def _mask(self, item: Any) -> Any:
        if isinstance(item, str):
            return self._pattern.sub(lambda _: self.replacement, item)
        return [replace(turn, content=self._pattern.sub(lambda _: self.replacement, turn.content)) for turn in item]
