"""One model that turns texts into vectors: tokeniser, transformer, pooling, layers, normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import numpy as np
from hookrag import note
from numpy.typing import NDArray

from hookrag_transformers.backends import NUMBERS, Wanted, load, place_of
from hookrag_transformers.checkpoint import checkpoint_of, digest_of, tokenizer_of
from hookrag_transformers.dense import dense_of
from hookrag_transformers.graph import Head
from hookrag_transformers.models import Model, ModelError
from hookrag_transformers.pooling import POOLINGS, l2_normalised
from hookrag_transformers.runtime import Runs
from hookrag_transformers.settings import Settings, positions_of, width_of
from hookrag_transformers.tokens import TextTokenizer

Value = str | int | float | bool | None


class Encoder:
    """The encoder of one role. Its files are read when it is made, its weights when they are first needed.

    With an encoder `beside` it that has the same tokenizer, it uses that. Raises ModelError where the model cannot be run as
    it is wanted. Safe from several threads.
    """

    def __init__(
        self,
        model: Model,
        settings: Settings,
        wanted: Wanted,
        *,
        dimensions: int | None,
        batch_tokens: int | None,
        beside: Encoder | None = None,
    ) -> None:
        part = model.inside(settings.transformer)
        self.model = model
        self.settings = settings
        read = (tokenizer_of(part), settings.lower, settings.cut_from, _closing(part))
        self._read = read
        self.tokenizer: TextTokenizer = (
            beside.tokenizer
            if beside is not None and beside._read == read
            else TextTokenizer(read[0], lower=read[1], cut_from=read[2], closing=read[3])
        )
        positions = positions_of(part.read("config.json"))
        if not self.tokenizer.specials < settings.max_tokens <= positions:
            raise ModelError(
                f"model {model.name}: max_tokens is {settings.max_tokens}; it must be more than the {self.tokenizer.specials} "
                f"special tokens of a text and at most the model's {positions} positions"
            )
        self._prefix_tokens = self.tokenizer.count(settings.prefix)
        if self.room < 1:
            raise ModelError(
                f"model {model.name}: max_tokens is {settings.max_tokens}, of which the prefix {settings.prefix!r} and special "
                f"tokens take {settings.max_tokens - self.room}: shorten the prefix or raise max_tokens"
            )
        self._layers = [dense_of(model, path) for path in settings.dense]
        width = len(self._layers[-1].weight) if self._layers else width_of(part)
        if dimensions is not None and dimensions > width:
            raise ModelError(
                f"model {model.name}: dimensions is {dimensions}; the model gives vectors of {width} numbers"
            )
        self._full_width = width
        self.dimensions = dimensions or width
        self.place = place_of(part, wanted)
        self._checkpoint = checkpoint_of(part, self.place.backend)
        self._wanted = wanted
        self._batch_tokens = batch_tokens or self.place.batch_tokens
        self._session: Runs | None = None
        self._loading = Lock()

    @property
    def room(self) -> int:
        """How many tokens of a text are read, beside special tokens and the prefix."""
        return self.settings.max_tokens - self.tokenizer.specials - self._prefix_tokens

    def load(self) -> Runs:
        """The weights, loaded once."""
        with self._loading:
            if self._session is None:
                head: Head = "first" if self.settings.pooling == "cls" and self.settings.pooled_prefix else "tokens"
                self._session = load(self._checkpoint, head, self.place, self._wanted)
            return self._session

    def identity(self) -> dict[str, Value]:
        """All that decides what vector a text gets."""
        settings, model = self.settings, self.model
        facts: dict[str, Value] = {
            "weights": self._checkpoint.weights,
            "tokenizer": digest_of(model, [tokenizer_of(model.inside(settings.transformer))]),
            "max_tokens": settings.max_tokens,
            "truncated_from": settings.cut_from,
            "lower_case": settings.lower,
            "pooling": settings.pooling,
            "pooled_prefix": settings.pooled_prefix,
            "dimensions": self.dimensions,
            "normalized": settings.normalize,
            "similarity": settings.similarity,
            "numbers": NUMBERS[self._wanted.dtype],
            "prefix": settings.prefix,
        }
        if self._layers:
            facts["dense"] = digest_of(model, [layer.file for layer in self._layers])
        return facts

    def space(self) -> str:
        """What vectors that can be compared have in common."""
        facts = self.identity()
        parts = [
            facts["weights"],
            facts.get("dense"),
            facts["pooling"],
            "normalized" if facts["normalized"] else "as is",
        ]
        if self.dimensions < self._full_width:
            parts.append(f"first {self.dimensions}")
        return "/".join(["transformers", *(str(part) for part in parts if part is not None)])

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32[n, dimensions]; what is over the window is cut off. Notes what was read, what was cut, and where it ran."""
        session, settings = self.load(), self.settings
        sequences = self.tokenizer.singles([settings.prefix + text for text in texts], settings.max_tokens)
        note(runs_on=str(self.place), **sequences.facts)
        made = np.empty((len(texts), self._full_width), dtype=np.float32)
        pool = POOLINGS[settings.pooling]
        # The prompt and what stands before it are left out, as sentence-transformers does; one token is always left.
        skipped = 0 if settings.pooled_prefix or not settings.prefix else self.tokenizer.before + self._prefix_tokens
        for chosen, states, lengths in session.run(sequences, self._batch_tokens):
            pooled = pool(states, lengths, np.minimum(skipped, lengths - 1))
            for layer in self._layers:
                pooled = layer(pooled)
            made[chosen] = pooled
        made = made[:, : self.dimensions]
        return l2_normalised(made) if settings.normalize else np.ascontiguousarray(made)


def _closing(part: Model) -> str | None:
    """The token that a model's files ask to be put at the end of every text (e5-mistral: add_eos_token)."""
    config = part.read("tokenizer_config.json")
    if config.get("add_eos_token") is not True:
        return None
    token = config.get("eos_token")
    return token.get("content") if isinstance(token, dict) else token
