"""The embedder `transformers`: one dense vector a text, by a transformer encoder."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
from hookrag import AtLeast, Identity, Output, Role, Vectors, checked, note

from hookrag_transformers.backends import BackendOption, BatchTokens, DeviceOption, DtypeOption, Threads, Wanted
from hookrag_transformers.encoder import Encoder
from hookrag_transformers.models import Model, ModelError, locate
from hookrag_transformers.pooling import Pooling
from hookrag_transformers.settings import Settings, settings_of

_OUTPUTS: tuple[Output, ...] = ("dense",)


class TransformersEmbedder:
    """Sentence embeddings as sentence-transformers computes them.

    `model` is a name that `hookrag models list` shows, an id at Hugging Face ("owner/name", "owner/name@revision"), or a
    folder in the layout of Hugging Face or sentence-transformers. `query_model` is another one for queries, that was trained
    together with it (DPR, Karpukhin et al. 2020). `pooling`, `normalize`, `max_tokens` and the prefixes override what the
    models' own files say. `dimensions` keeps the first numbers of a vector (Kusupati et al. 2022, Matryoshka), and gives it
    length 1 again if the model does. On ONNX Runtime results do not depend on the other texts of a call, to the bit.
    """

    version = 1

    @checked
    def __init__(
        self,
        *,
        model: Annotated[
            str | Path,
            "a name that `hookrag models list` shows, `owner/name` or `owner/name@revision` at Hugging Face, or a folder "
            "(`./x`, `../x`, `~/x`, `/x`) in the layout of Hugging Face or sentence-transformers",
        ],
        query_model: Annotated[
            str | Path | None,
            "another one for queries, trained together with it (DPR); what it gives has as many numbers",
        ] = None,
        dimensions: Annotated[
            int | None,
            AtLeast(1),
            "the first numbers of each vector (Matryoshka), of length 1 again if the model normalises; without it, all",
        ] = None,
        max_tokens: Annotated[
            int | None, AtLeast(1), "what is over is cut off, counted and noted in the trace; without it, the model's"
        ] = None,
        pooling: Annotated[Pooling | None, "how the vectors of tokens become one; without it, the model's way"] = None,
        normalize: Annotated[bool | None, "whether vectors get length 1; without it, as the model says"] = None,
        query_prefix: Annotated[str | None, "put before each query; without it, the model's prompt"] = None,
        document_prefix: Annotated[str | None, "put before each document; without it, the model's prompt"] = None,
        query_prompt_name: Annotated[
            str | None, "which of the model's prompts, where it has others; without it `query`"
        ] = None,
        document_prompt_name: Annotated[
            str | None,
            "which of the model's prompts, where it has others; without it `document`, `passage` or `corpus`",
        ] = None,
        backend: BackendOption = "auto",
        device: DeviceOption = "auto",
        dtype: DtypeOption = "float32",
        batch_tokens: BatchTokens = None,
        threads: Threads = None,
    ) -> None:
        for role, prefix, prompt in (
            ("query", query_prefix, query_prompt_name),
            ("document", document_prefix, document_prompt_name),
        ):
            if prefix is not None and prompt is not None:
                raise ValueError(
                    f"{role}_prefix and {role}_prompt_name both say what stands before a text: give one of them"
                )
        self._wanted = Wanted(backend, device, dtype, threads)
        self._model = model
        self._query_model = query_model
        self._dimensions = dimensions
        self._max_tokens = max_tokens
        self._pooling = pooling
        self._normalize = normalize
        self._query_prefix = query_prefix
        self._document_prefix = document_prefix
        self._query_prompt_name = query_prompt_name
        self._document_prompt_name = document_prompt_name
        self._backend = backend
        self._device = device
        self._dtype = dtype
        self._batch_tokens = batch_tokens
        self._threads = threads
        self._opened: dict[Role, Encoder] | None = None

    @property
    def outputs(self) -> Collection[Output]:
        return _OUTPUTS

    @property
    def runs_on(self) -> str:
        """What computes and where, as `backend` and `device` were resolved: "onnx on cpu", "torch on cuda:0"."""
        return str(self._encoder("document").engine)

    def models(self) -> Collection[str]:
        """The models that it needs, as the configuration names them."""
        return [str(model) for model in (self._model, self._query_model) if model is not None]

    def open(self) -> None:
        """Find the models and load them, with a `query_model` each when its role is first asked for. Raises ModelError."""
        model = locate(self._model)
        document = self._made(model, "document")
        asked = model if self._query_model is None else locate(self._query_model)
        query = self._made(asked, "query", document)
        if query.dimensions != document.dimensions:
            raise ModelError(
                f"model {asked.name} gives queries {query.dimensions} numbers and model {model.name} documents "
                f"{document.dimensions}: they cannot be compared; a query_model is one that was trained together with the model"
            )
        if self._query_model is None:
            document.load()
            query.load()
        self._opened = {"document": document, "query": query}

    def close(self) -> None:
        self._opened = None

    def identity(self) -> Identity:
        """Weights, tokenizer and all that decides what vector a text gets. The space is that of the documents' model."""
        document, query = self._encoder("document"), self._encoder("query")
        return Identity(document.identity(), query.identity(), document.space())

    def embed(self, texts: Sequence[str], /, *, role: Role, outputs: Collection[Output]) -> Vectors:
        """float32[n, dimensions]; equal texts are computed once, what is over `max_tokens` is cut off, counted and noted."""
        if set(outputs) != {"dense"}:
            asked = ", ".join(sorted(outputs)) or "none"
            raise ValueError(
                f"the outputs asked for are {asked}; the embedder of {self._model} gives dense vectors only"
            )
        encoder = self._encoder(role)
        places: dict[str, int] = {}
        order = np.array([places.setdefault(text, len(places)) for text in texts], dtype=np.intp)
        note(distinct=len(places))
        distinct = encoder.vectors(list(places))
        if not np.isfinite(distinct).all():
            row = int(np.flatnonzero(~np.isfinite(distinct).all(axis=1))[0])
            raise ModelError(
                f"model {encoder.model.name}: the vector of text {int(np.flatnonzero(order == row)[0])} is not finite; "
                "`hookrag models verify` tells whether the weights are damaged"
            )
        return Vectors(dense=distinct[order])

    def tokens(self, texts: Sequence[str], /) -> list[list[tuple[int, int]]]:
        """The (start, end) characters of each token of each text, uncut and without special tokens; of the documents' model."""
        return self._encoder("document").tokenizer.spans(texts)

    def room(self, role: Role, /) -> int:
        """How many tokens of a text of that role are read: the window without special tokens and without the role's prefix."""
        return self._encoder(role).room

    def _made(self, model: Model, role: Role, other: Encoder | None = None) -> Encoder:
        """The encoder of a role; with the weights of the other one where that is the same model."""
        prefix = self._query_prefix if role == "query" else self._document_prefix
        prompt = self._query_prompt_name if role == "query" else self._document_prompt_name
        settings = self._overridden(settings_of(model, role, pooling=self._pooling, prompt_name=prompt), prefix)
        if other is not None and (other.model, other.settings) == (model, settings):
            return other
        return Encoder(
            model,
            settings,
            self._wanted,
            batch_tokens=self._batch_tokens,
            beside=other,
        )

    def _overridden(self, own: Settings, prefix: str | None) -> Settings:
        return replace(
            own,
            max_tokens=own.max_tokens if self._max_tokens is None else self._max_tokens,
            dimensions=own.dimensions if self._dimensions is None else self._dimensions,
            normalize=own.normalize if self._normalize is None else self._normalize,
            prefix=own.prefix if prefix is None else prefix,
        )

    def _encoder(self, role: Role) -> Encoder:
        if self._opened is None:
            self.open()
        assert self._opened is not None
        if role not in self._opened:
            raise ValueError(f"role must be query or document, got {role!r}")
        return self._opened[role]
