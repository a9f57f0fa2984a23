"""The embedder `transformers`: one dense vector a text, by a transformer encoder on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from hookrag import Identity, Output, Role, Vectors, note

from hookrag_transformers.models import Model, ModelError, locate
from hookrag_transformers.pooling import POOLINGS, Pooling, l2_normalised
from hookrag_transformers.prepare import Prepared, prepare
from hookrag_transformers.runtime import Session, default_threads, shared_session
from hookrag_transformers.settings import Settings, positions_of, settings_of
from hookrag_transformers.tokens import TextTokenizer

_OUTPUTS: tuple[Output, ...] = ("dense",)


class TransformersEmbedder:
    """Sentence embeddings as sentence-transformers computes them, without torch.

    `model` is a name that `hookrag models list` shows, or a folder in the layout of Hugging Face or sentence-transformers. The
    other options override what the model's own files say. Results do not depend on the other texts of a call, to the bit.
    """

    version = 1

    def __init__(
        self,
        *,
        model: str | Path,
        max_tokens: int | None = None,
        pooling: Pooling | None = None,
        normalize: bool | None = None,
        query_prefix: str | None = None,
        document_prefix: str | None = None,
        batch_tokens: int = 1024,
        threads: int | None = None,
    ) -> None:
        if pooling is not None and pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")
        for name, value in (("max_tokens", max_tokens), ("batch_tokens", batch_tokens), ("threads", threads)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self._model = model
        self._max_tokens = max_tokens
        self._pooling = pooling
        self._normalize = normalize
        self._query_prefix = query_prefix
        self._document_prefix = document_prefix
        self._batch_tokens = batch_tokens
        self._threads = threads
        self._opened: _Opened | None = None

    @property
    def outputs(self) -> Collection[Output]:
        return _OUTPUTS

    @property
    def max_tokens(self) -> int:
        """The most tokens of one text that it reads, special tokens included."""
        return self._open_parts().settings.max_tokens

    def open(self) -> None:
        """Find the model, make its graph on the first use of it, and load it. Raises ModelError."""
        model = locate(str(self._model))
        settings = self._resolved(model)
        tokenizer = TextTokenizer(model.folder / "tokenizer.json", lower=settings.lower, cut_from=settings.cut_from)
        positions = positions_of(model.read("config.json"))
        if not tokenizer.specials < settings.max_tokens <= positions:
            raise ModelError(
                f"model {model.name}: max_tokens is {settings.max_tokens}; it must be more than the {tokenizer.specials} "
                f"special tokens of a text and at most the model's {positions} positions"
            )
        prepared = prepare(model, "first" if settings.pooling == "cls" else "tokens")
        session = shared_session(prepared.graph, self._threads or default_threads())
        self._opened = _Opened(model, settings, tokenizer, prepared, session)

    def close(self) -> None:
        self._opened = None

    def identity(self) -> Identity:
        """Weights, tokenizer and all that decides what vector a text gets; the query side differs by its prefix alone."""
        parts = self._open_parts()
        settings = parts.settings
        both: dict[str, str | int | float | bool | None] = {
            "weights": parts.prepared.weights,
            "tokenizer": parts.prepared.tokenizer,
            "max_tokens": settings.max_tokens,
            "truncated_from": settings.cut_from,
            "lower_case": settings.lower,
            "pooling": settings.pooling,
            "pooled_prefix": True,
            "dimensions": parts.dimensions,
            "normalized": settings.normalize,
            "similarity": settings.similarity,
            "numbers": "fp32",
        }
        space = f"{parts.prepared.weights}/{settings.pooling}/{'normalized' if settings.normalize else 'as is'}"
        return Identity(
            {**both, "prefix": settings.document_prefix},
            {**both, "prefix": settings.query_prefix},
            f"transformers/{space}",
        )

    def embed(self, texts: Sequence[str], /, *, role: Role, outputs: Collection[Output]) -> Vectors:
        """float32[n, dimensions]; equal texts are computed once, what is over `max_tokens` is cut off, counted and noted."""
        if set(outputs) != {"dense"}:
            asked = ", ".join(sorted(outputs)) or "none"
            raise ValueError(
                f"the outputs asked for are {asked}; the embedder of {self._model} gives dense vectors only"
            )
        parts = self._open_parts()
        settings = parts.settings
        prefix = settings.query_prefix if role == "query" else settings.document_prefix
        places: dict[str, int] = {}
        order = np.array([places.setdefault(text, len(places)) for text in texts], dtype=np.intp)
        sequences = parts.tokenizer.singles([prefix + text for text in places], settings.max_tokens)
        note(distinct=len(places), **sequences.facts)
        distinct = np.empty((len(places), parts.dimensions), dtype=np.float32)
        pool = POOLINGS[settings.pooling]
        for chosen, states, lengths in parts.session.run(sequences, self._batch_tokens):
            distinct[chosen] = pool(states, lengths)
        if settings.normalize:
            distinct = l2_normalised(distinct)
        if not np.isfinite(distinct).all():
            row = int(np.flatnonzero(~np.isfinite(distinct).all(axis=1))[0])
            raise ModelError(
                f"model {parts.model.name}: the vector of text {int(np.flatnonzero(order == row)[0])} is not finite; "
                "`hookrag models verify` tells whether the weights are damaged"
            )
        return Vectors(dense=distinct[order])

    def tokens(self, texts: Sequence[str], /) -> list[list[tuple[int, int]]]:
        """The (start, end) characters of each token of each text, uncut and without special tokens."""
        return self._open_parts().tokenizer.spans(texts)

    def _resolved(self, model: Model) -> Settings:
        own = settings_of(model, self._pooling)
        return Settings(
            max_tokens=own.max_tokens if self._max_tokens is None else self._max_tokens,
            pooling=own.pooling,
            normalize=own.normalize if self._normalize is None else self._normalize,
            query_prefix=own.query_prefix if self._query_prefix is None else self._query_prefix,
            document_prefix=own.document_prefix if self._document_prefix is None else self._document_prefix,
            lower=own.lower,
            cut_from=own.cut_from,
            similarity=own.similarity,
        )

    def _open_parts(self) -> _Opened:
        if self._opened is None:
            self.open()
        assert self._opened is not None
        return self._opened


class _Opened:
    """What an open embedder holds."""

    def __init__(
        self, model: Model, settings: Settings, tokenizer: TextTokenizer, prepared: Prepared, session: Session
    ) -> None:
        self.model = model
        self.settings = settings
        self.tokenizer = tokenizer
        self.prepared = prepared
        self.session = session
        self.dimensions = int(model.read("config.json")["hidden_size"])
