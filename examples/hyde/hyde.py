"""HyDE: search with the vectors of hypothetical answers instead of the question's own.

Gao, Ma, Lin, Callan: Precise Zero-Shot Dense Retrieval without Relevance Labels (ACL 2023), section 3.2.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated

import numpy as np
from hookrag import LLM, AtLeast, Embedder, HookragError, Identity, Message, Output, Role, Vectors, checked, note
from numpy.typing import NDArray

PROMPT = "Please write a short passage that answers the question.\nQuestion: {query}\nPassage:"


def mean_vector(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the rows of float32[n, d]; brought back to length 1 where all rows have it.

    v(q) = (v(d_1) + ... + v(d_n)) / n, with the query's own vector as one of the rows where it is wanted.

    >>> (mean_vector(np.array([[1, 0], [0, 1]], dtype=np.float32)) ** 2).round(2).tolist()
    [0.5, 0.5]
    >>> mean_vector(np.array([[2, 0], [0, 4]], dtype=np.float32)).tolist()
    [1.0, 2.0]
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    length = np.linalg.norm(mean)
    if length > 0 and np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3):
        mean = mean / length
    return np.asarray(mean, dtype=np.float32)


class Hyde:
    """An embedder whose query vector is the mean of the document vectors of `n` passages that a language model writes.

    Documents pass through to the inner embedder, so that an index made with that one can be searched with this. More than
    one passage is sampled at `temperature`, each batch from `seed`; `with_query` adds the question's own vector to the mean.
    Where the model writes nothing, the question is searched as it is, and counted.
    """

    version = 1
    outputs: Collection[Output] = frozenset({"dense"})

    @checked
    def __init__(
        self,
        *,
        embedder: Annotated[Embedder, "gives the vectors of documents and passages"],
        llm: Annotated[LLM, "writes the passages"],
        n: Annotated[int, AtLeast(1), "passages a question"] = 1,
        with_query: Annotated[bool, "whether the question's own vector is part of the mean"] = False,
        prompt: Annotated[str, "what the model is asked; {query} stands for the question"] = PROMPT,
        max_tokens: Annotated[int, AtLeast(1), "the most tokens of a passage"] = 128,
        temperature: Annotated[float, "at which several passages are sampled"] = 0.7,
        seed: Annotated[int, "from which they are sampled"] = 0,
    ) -> None:
        if n > 1 and temperature <= 0:
            raise ValueError(
                f"temperature must be above 0 where n is {n}, or all passages are equal; got {temperature}"
            )
        if "{query}" not in prompt:
            raise ValueError("prompt must contain {query}")
        if "dense" not in embedder.outputs:
            raise ValueError(f"embedder must give dense vectors, it gives {sorted(embedder.outputs)}")
        self.embedder = embedder
        self.llm = llm
        self.n = n
        self.with_query = with_query
        self.prompt = prompt
        self.max_tokens = max_tokens
        self.temperature = temperature
        self.seed = seed

    def identity(self) -> Identity:
        """The inner embedder's documents and space; the query side names the passages too."""
        inner = self.embedder.identity()
        query = {**inner.query, "hyde_n": self.n, "hyde_prompt": self.prompt, "hyde_with_query": self.with_query}
        return Identity(inner.document, query, inner.space)

    def embed(self, texts: Sequence[str], /, *, role: Role, outputs: Collection[Output]) -> Vectors:
        """float32[n, d] as the inner embedder has it; the passages of all questions are written and embedded in one batch."""
        if set(outputs) != {"dense"}:
            raise HookragError(f"hyde gives dense vectors only, asked for {sorted(outputs)}")
        if role == "document" or not texts:
            return self.embedder.embed(texts, role=role, outputs=outputs)
        written = self._passages(list(dict.fromkeys(texts)))
        passages = [passage for own in written.values() for passage in own]
        documents = self._dense(passages, "document") if passages else None
        alone = [text for text, own in written.items() if self.with_query or not own]
        queries = dict(zip(alone, self._dense(alone, "query"), strict=True)) if alone else {}
        made: dict[str, NDArray[np.float32]] = {}
        start = 0
        for text, own in written.items():
            rows = [queries[text]] if text in queries else []
            if documents is not None:
                rows.extend(documents[start : start + len(own)])
            made[text] = mean_vector(np.stack(rows))
            start += len(own)
        note(passages=len(passages), without_passage=sum(not own for own in written.values()))
        return Vectors(dense=np.stack([made[text] for text in texts]))

    def _passages(self, texts: Sequence[str]) -> dict[str, list[str]]:
        completions = self.llm.complete(
            [[Message("user", self.prompt.replace("{query}", text))] for text in texts],
            n=self.n,
            max_tokens=self.max_tokens,
            temperature=self.temperature if self.n > 1 else 0.0,
            seed=self.seed,
        )
        return {
            text: [one.text.strip() for one in made if one.text.strip()]
            for text, made in zip(texts, completions, strict=True)
        }

    def _dense(self, texts: Sequence[str], role: Role) -> NDArray[np.float32]:
        dense = self.embedder.embed(texts, role=role, outputs={"dense"}).dense
        assert dense is not None
        return dense
