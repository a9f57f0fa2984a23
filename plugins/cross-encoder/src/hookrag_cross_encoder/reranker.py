"""The reranker `cross-encoder`: query and passage are read together by a sequence classifier (Nogueira and Cho 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from hookrag import Ranking, ScoreKind, best, note
from hookrag_transformers.models import Model, ModelError, locate
from hookrag_transformers.prepare import prepare
from hookrag_transformers.runtime import Session, default_threads, shared_session
from hookrag_transformers.settings import positions_of
from hookrag_transformers.tokens import TextTokenizer
from numpy.typing import NDArray


class CrossEncoder:
    """Scores every hit with the model's logit for (query, context and text of the chunk), and keeps the best.

    The passage is cut to `max_tokens` ("only_second"). Scores do not depend on the other pairs of a call, to the bit.
    """

    version = 1

    def __init__(
        self,
        *,
        model: str | Path = "ms-marco-MiniLM-L-12-v2",
        max_tokens: int = 512,
        batch_tokens: int = 1024,
        threads: int | None = None,
    ) -> None:
        for name, value in (("max_tokens", max_tokens), ("batch_tokens", batch_tokens), ("threads", threads)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self._model = model
        self._max_tokens = max_tokens
        self._batch_tokens = batch_tokens
        self._threads = threads
        self._opened: _Opened | None = None

    def open(self) -> None:
        """Find the model, make its graph on the first use of it, and load it. Raises ModelError."""
        model = locate(str(self._model))
        positions = positions_of(model.read("config.json"))
        tokenizer = TextTokenizer(model.folder / "tokenizer.json")
        least = tokenizer.pair_specials + 4
        if not least <= self._max_tokens <= positions:
            raise ModelError(
                f"model {model.name}: max_tokens is {self._max_tokens}; it must be at least {least}, for the special tokens "
                f"of a pair and a few of its own, and at most the model's {positions} positions"
            )
        prepared = prepare(model, "scores")
        session = shared_session(prepared.graph, self._threads or default_threads())
        kind = ScoreKind("logit", f"cross-encoder {prepared.weights[:16]} at {self._max_tokens} tokens")
        self._opened = _Opened(model, tokenizer, session, kind)

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
        note(distinct=len(places), **sequences.facts)
        scores = np.empty(len(places), dtype=np.float32)
        for chosen, logits, _ in parts.session.run(sequences, self._batch_tokens):
            if logits.shape[1:] not in ((), (1,)):
                raise ModelError(
                    f"model {parts.model.name} gives {logits.shape[-1]} scores a pair: choose a model with one label"
                )
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

    def _open_parts(self) -> _Opened:
        if self._opened is None:
            self.open()
        assert self._opened is not None
        return self._opened


class _Opened:
    """What an open cross-encoder holds."""

    def __init__(self, model: Model, tokenizer: TextTokenizer, session: Session, kind: ScoreKind) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.session = session
        self.kind = kind
