"""The reranker `cross-encoder`: query and passage are read together by a sequence classifier (Nogueira and Cho 2019)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from hookrag import AtLeast, Ranking, Role, ScoreKind, best, checked, note
from hookrag_transformers.backends import (
    BackendOption,
    BatchTokens,
    DeviceOption,
    DtypeOption,
    Engine,
    Threads,
    Wanted,
    engine_of,
    load,
)
from hookrag_transformers.checkpoint import checkpoint_of, tokenizer_of
from hookrag_transformers.models import Model, ModelError, locate
from hookrag_transformers.runtime import Runs
from hookrag_transformers.settings import positions_of
from hookrag_transformers.tokens import TextTokenizer
from numpy.typing import NDArray

_QUESTION_TOKENS = 32
"""What `room` leaves for a question: 91 of 100 of SciFact's have no more, 100 of 100 of NFCorpus's and XQuAD's English ones."""


class CrossEncoder:
    """Scores every hit with the model's logit for (query, context and text of the chunk), and keeps the best.

    The passage is cut to `max_tokens` ("only_second"). On ONNX Runtime scores do not depend on the other pairs of a call, to
    the bit.
    """

    version = 1

    @checked
    def __init__(
        self,
        *,
        model: Annotated[
            str | Path,
            "a name that `hookrag models list` shows, `owner/name` at Hugging Face, or a folder; a sequence classifier of "
            "one label",
        ] = "ms-marco-MiniLM-L-12-v2",
        max_tokens: Annotated[int, AtLeast(1), "of query and passage together; the passage is cut"] = 512,
        backend: BackendOption = "auto",
        device: DeviceOption = "auto",
        dtype: DtypeOption = "float32",
        batch_tokens: BatchTokens = None,
        threads: Threads = None,
    ) -> None:
        self._wanted = Wanted(backend, device, dtype, threads)
        self._model = model
        self._max_tokens = max_tokens
        self._backend = backend
        self._device = device
        self._dtype = dtype
        self._batch_tokens = batch_tokens
        self._threads = threads
        self._opened: _Opened | None = None

    @property
    def runs_on(self) -> str:
        """What computes and where, as `backend` and `device` were resolved: "onnx on cpu", "torch on cuda:0"."""
        return str(self._open_parts().engine)

    def models(self) -> Collection[str]:
        """The model that it needs, as the configuration names it."""
        return [str(self._model)]

    def open(self) -> None:
        """Find the model, make its graph on the first use of it, load it, and try it on one pair. Raises ModelError."""
        model = locate(self._model)
        positions = positions_of(model)
        tokenizer = TextTokenizer(tokenizer_of(model))
        least = tokenizer.pair_specials + 4
        if not least <= self._max_tokens <= positions:
            raise ModelError(
                f"model {model.name}: max_tokens is {self._max_tokens}; it must be at least {least}, for the special tokens "
                f"of a pair and a few of its own, and at most the model's {positions} positions"
            )
        engine = engine_of(model, self._wanted)
        checkpoint = checkpoint_of(model, engine.backend)
        session = load(checkpoint, "scores", engine, self._wanted)
        ((_, logits, _),) = session.run(tokenizer.pairs(["a"], ["a"], [(0, 0)], self._max_tokens), 1)
        if logits.shape not in ((1,), (1, 1)):
            raise ModelError(f"model {model.name} gives {logits.size} scores a pair: choose a model with one label")
        numbers = "" if self._dtype == "float32" else f" in {self._dtype}"
        files = "-".join(digest[:16] for digest in (checkpoint.weights, checkpoint.config) if digest)
        kind = ScoreKind("logit", f"cross-encoder {files} at {self._max_tokens} tokens{numbers}")
        self._opened = _Opened(model, tokenizer, engine, session, kind)

    def close(self) -> None:
        self._opened = None

    def score(self, pairs: Sequence[tuple[str, str]], /) -> NDArray[np.float32]:
        """The logit of each (query, passage), float32[n]; equal pairs are computed once, what is cut off is noted."""
        parts = self._open_parts()
        queries: dict[str, int] = {}
        passages: dict[str, int] = {}
        places: dict[tuple[int, int], int] = {}
        order = np.empty(len(pairs), dtype=np.intp)
        for at, (query, passage) in enumerate(pairs):
            pair = queries.setdefault(query, len(queries)), passages.setdefault(passage, len(passages))
            order[at] = places.setdefault(pair, len(places))
        sequences = parts.tokenizer.pairs(list(queries), list(passages), list(places), self._max_tokens)
        note(distinct=len(places), runs_on=str(parts.engine), **sequences.facts)
        scores = np.zeros(len(places), dtype=np.float32)  # that of a pair without any token
        for chosen, logits, _ in parts.session.run(sequences, self._batch_tokens or parts.engine.batch_tokens):
            scores[chosen] = logits.reshape(len(chosen))
        if not np.isfinite(scores).all():
            raise ModelError(
                f"model {parts.model.name}: {int((~np.isfinite(scores)).sum())} of {len(scores)} scores are not finite; "
                "`hookrag models verify` tells whether the weights are damaged"
            )
        return scores[order]

    def rerank(self, rankings: Sequence[Ranking], /, *, k: int) -> list[Ranking]:
        """The k best hits of each ranking by their logits; every hit is scored."""
        scores = self.score([(ranking.query.text, hit.chunk.input) for ranking in rankings for hit in ranking.hits])
        kind = self._open_parts().kind
        reranked = []
        start = 0
        for ranking in rankings:
            own = scores[start : start + len(ranking.hits)].tolist()
            start += len(ranking.hits)
            hits = [replace(hit, score=score) for hit, score in zip(ranking.hits, own, strict=True)]
            reranked.append(Ranking(ranking.query, best(hits, k), "cross-encoder", kind))
        return reranked

    def tokens(self, texts: Sequence[str], /) -> list[list[tuple[int, int]]]:
        """The (start, end) characters of each token of each text, uncut and without special tokens."""
        return self._open_parts().tokenizer.spans(texts)

    def room(self, role: Role, /) -> int:
        """How many tokens of a text are read for certain: of a passage, what is left beside a question of 32 tokens.

        Of a question, what is read beside the longest passage: three quarters of what a pair has, as a longer question is cut
        to that. A passage keeps a quarter in any case.
        """
        parts = self._open_parts()
        both = self._max_tokens - parts.tokenizer.pair_specials
        return both * 3 // 4 if role == "query" else both - min(_QUESTION_TOKENS, both * 3 // 4)

    def _open_parts(self) -> _Opened:
        if self._opened is None:
            self.open()
        assert self._opened is not None
        return self._opened


@dataclass(frozen=True, slots=True)
class _Opened:
    """What an open cross-encoder holds."""

    model: Model
    tokenizer: TextTokenizer
    engine: Engine
    session: Runs
    kind: ScoreKind
