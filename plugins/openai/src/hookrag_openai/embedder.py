"""The embedder `openai`: the embeddings endpoint of any OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from hookrag import (
    Above,
    AtLeast,
    Finite,
    HookragError,
    Identity,
    Output,
    Role,
    Vectors,
    checked,
    fan_out,
    note,
)

from hookrag_openai._server import OPENAI, BaseUrl, KeyEnv, Model, Server

if TYPE_CHECKING:
    import openai
    from numpy.typing import NDArray


class OpenAIEmbeddings:
    """Dense vectors from an OpenAI-compatible API, as the server gives them.

    Texts are sent `batch` at a time, at most `concurrency` requests at once; equal texts are sent once. `dimensions`
    asks the server for shorter vectors. Models that want to know what they embed get it by `query_prompt` and
    `document_prompt`, which are put before the text. `price_per_million` tokens, in US dollars, is for `hookrag index
    --dry-run` to say what a run would cost.
    """

    version = 1
    outputs: Collection[Output] = frozenset({"dense"})

    @checked
    def __init__(
        self,
        *,
        model: Model,
        base_url: BaseUrl = OPENAI,
        api_key_env: KeyEnv = "OPENAI_API_KEY",
        dimensions: Annotated[
            int | None, AtLeast(1), "how long a vector the server is asked for; without it, as the model gives them"
        ] = None,
        query_prompt: Annotated[str, "put before each query"] = "",
        document_prompt: Annotated[str, "put before each document"] = "",
        batch: Annotated[int, AtLeast(1), "texts of one request"] = 64,
        timeout: Annotated[
            float, Above(0, "seconds"), "seconds for one request; fewer where the deadline is nearer"
        ] = 60.0,
        concurrency: Annotated[int, AtLeast(1), "requests at once, over all calls"] = 4,
        price_per_million: Annotated[
            float | None,
            Finite(),
            AtLeast(0),
            "US dollars for a million tokens, for `hookrag index --dry-run` to say what a run would cost",
        ] = None,
    ) -> None:
        self._server = Server(
            model=model, base_url=base_url, api_key_env=api_key_env, timeout=timeout, concurrency=concurrency
        )
        self._model = model
        self._base_url = base_url
        self._api_key_env = api_key_env
        self._dimensions = dimensions
        self._query_prompt = query_prompt
        self._document_prompt = document_prompt
        self._batch = batch
        self._timeout = timeout
        self._concurrency = concurrency
        self._price_per_million = price_per_million
        self._width = 0

    def open(self) -> None:
        """Make the client and embed one word, which tells how wide the vectors are."""
        self._server.open()
        self._server.served()
        vectors, _ = self._request(["width"])
        self._width = vectors.shape[1]

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    @property
    def price(self) -> float | None:
        """US dollars for a million tokens, where that was told."""
        return self._price_per_million

    def identity(self) -> Identity:
        """The model's name, the server's host and the width: all that an API tells of its weights."""
        common: dict[str, Any] = {
            "api": "openai",
            "host": self._server.host,
            "model": self._model,
            "dimensions": self._dimensions,
            "width": self._width,
        }
        return Identity({**common, "prompt": self._document_prompt}, {**common, "prompt": self._query_prompt})

    def embed(self, texts: Sequence[str], /, *, role: Role, outputs: Collection[Output]) -> Vectors:
        """float32[n, width]. Raises TransientError for a server that is busy or away."""
        if set(outputs) != {"dense"}:
            raise HookragError(f"{self._server.where} gives dense vectors only, asked for {sorted(outputs)}")
        prompt = self._query_prompt if role == "query" else self._document_prompt
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        unique = [prompt + text for text in places]
        batches = [unique[start : start + self._batch] for start in range(0, len(unique), self._batch)]
        made = fan_out([partial(self._request, batch) for batch in batches])
        note(prompt_tokens=sum(tokens for _, tokens in made), model=self._model)
        if not made:
            return Vectors(dense=np.zeros((0, self._width), dtype=np.float32))
        return Vectors(dense=np.concatenate([vectors for vectors, _ in made])[[places[text] for text in texts]])

    def _request(self, texts: list[str]) -> tuple[NDArray[np.float32], int]:
        import openai

        def request(client: openai.OpenAI, limit: float) -> object:
            return client.embeddings.create(
                model=self._model,
                input=texts,
                encoding_format="float",  # base64, the client's default, is not known to every server
                dimensions=openai.omit if self._dimensions is None else self._dimensions,
                timeout=limit,
            )

        answer = self._server.ask(request)
        if not isinstance(answer, openai.types.CreateEmbeddingResponse):
            raise self._server.unexpected("there are no embeddings in the answer")
        rows = {row.index: row.embedding for row in answer.data or ()}
        if sorted(rows) != list(range(len(texts))):
            raise self._server.unexpected(f"it gave {len(rows)} vectors for {len(texts)} texts")
        widths = {len(row) for row in rows.values()} | ({self._width} if self._width else set())
        if len(widths) != 1 or (self._dimensions or min(widths)) not in widths:
            asked = "" if self._dimensions is None else f" where dimensions = {self._dimensions}"
            raise self._server.unexpected(f"it gave vectors of {sorted(widths)} numbers{asked}")
        vectors = np.asarray([rows[index] for index in range(len(texts))], dtype=np.float32)
        return vectors, answer.usage.prompt_tokens if answer.usage else 0
