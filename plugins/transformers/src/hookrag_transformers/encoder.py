"""One model that turns texts into vectors: tokeniser, transformer, pooling, layers, normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import numpy as np
from hookrag import note
from numpy.typing import NDArray

from hookrag_transformers.backends import NUMBERS, Wanted, engine_of, load
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
        positions = positions_of(part)
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
        width = self._states_width = width_of(part)
        for path, layer in zip(settings.dense, self._layers, strict=True):
            if layer.weight.shape[1] != width or layer.bias.shape != (len(layer.weight),):
                raise ModelError(
                    f"model {model.name}: {path} takes {layer.weight.shape[1]} numbers and gets {width}: fetch or copy the "
                    "model again"
                )
            width = len(layer.weight)
        if settings.dimensions is not None and settings.dimensions > width:
            raise ModelError(
                f"model {model.name}: dimensions is {settings.dimensions}; the model gives vectors of {width} numbers"
            )
        self._full_width = width
        self.dimensions = settings.dimensions or width
        self.engine = engine_of(part, wanted)
        self._checkpoint = checkpoint_of(part, self.engine.backend)
        self._wanted = wanted
        self._batch_tokens = batch_tokens or self.engine.batch_tokens
        self._session: Runs | None = None
        self._loading = Lock()

    @property
    def room(self) -> int:
        """How many tokens of a text are read, beside special tokens and the prefix."""
        return self.settings.max_tokens - self.tokenizer.specials - self._prefix_tokens

    def load(self) -> Runs:
        """The weights, loaded once and tried on one text. Raises ModelError where that gives no states of the right width."""
        with self._loading:
            if self._session is None:
                head: Head = "first" if self.settings.pooling == "cls" and self.settings.pooled_prefix else "tokens"
                session = load(self._checkpoint, head, self.engine, self._wanted)
                ((_, states, _),) = session.run(self.tokenizer.singles(["a"], self.settings.max_tokens), 1)
                if states.ndim != 3:
                    raise ModelError(
                        f"model {self.model.name}: {self._checkpoint.files[0]} gives an array {list(states.shape)} for a text, "
                        "where a state for each token belongs: save the model as safetensors, or export it without its pooling"
                    )
                if states.shape[2] != self._states_width:
                    raise ModelError(
                        f"model {self.model.name}: {self._checkpoint.files[0]} gives states of {states.shape[2]} numbers, "
                        f"where config.json says {self._states_width}: fetch or copy the model again"
                    )
                self._session = session
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
        # An export says these itself, and most models have no token that closes a text.
        if self._checkpoint.config:
            facts["config"] = self._checkpoint.config
        if self._read[3] is not None:
            facts["closing"] = self._read[3]
        if self._layers:
            facts["dense"] = digest_of(model, [layer.file for layer in self._layers])
        return facts

    def space(self) -> str:
        """What vectors that can be compared have in common."""
        facts = self.identity()
        parts = [
            facts["weights"],
            facts.get("config"),
            facts.get("dense"),
            facts["pooling"],
            "normalized" if facts["normalized"] else "as is",
        ]
        if self.dimensions < self._full_width:
            parts.append(f"first {self.dimensions}")
        return "/".join(["transformers", *(str(part) for part in parts if part is not None)])

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32[n, dimensions]; what is over the window is cut off. Notes what was read, what was cut, and where it ran.

        A text of no tokens at all, where the tokenizer puts none around it, counts as one whose pooled state is zero.
        """
        session, settings = self.load(), self.settings
        sequences = self.tokenizer.singles([settings.prefix + text for text in texts], settings.max_tokens)
        note(runs_on=str(self.engine), **sequences.facts)
        made = np.zeros((len(texts), self._states_width), dtype=np.float32)
        pool = POOLINGS[settings.pooling]
        # The prompt and what stands before it are left out, as sentence-transformers does; one token is always left.
        skipped = 0 if settings.pooled_prefix or not settings.prefix else self.tokenizer.before + self._prefix_tokens
        for chosen, states, lengths in session.run(sequences, self._batch_tokens):
            made[chosen] = pool(states, lengths, np.minimum(skipped, lengths - 1))
        for layer in self._layers:
            made = layer(made)
        made = made[:, : self.dimensions]
        return l2_normalised(made) if settings.normalize else np.ascontiguousarray(made)


def _closing(part: Model) -> str | None:
    """The token that a model's files ask to be put at the end of every text (e5-mistral: add_eos_token)."""
    config = part.read("tokenizer_config.json")
    if config.get("add_eos_token") is not True:
        return None
    token = config.get("eos_token")
    token = token.get("content") if isinstance(token, dict) else token
    if not isinstance(token, str):
        raise ModelError(
            f"model {part.name}: tokenizer_config.json has add_eos_token and no eos_token: fetch or copy the model again"
        )
    return token
