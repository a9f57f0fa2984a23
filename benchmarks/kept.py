"""A plugin for measurements: an embedder and a reranker that keep on disk what another one computed, and look there first.

Vectors and scores are filed under the identity of the model that made them and a hash of what it read, so that studies which
read the same texts compute them once, over all their runs. Nothing is shared between identities.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from hookrag import (
    Call,
    Chunk,
    Component,
    Components,
    Embedder,
    Hit,
    HookragError,
    Identity,
    Output,
    Proceed,
    Query,
    Ranking,
    Reranker,
    Role,
    ScoreKind,
    Vectors,
    best,
    hookimpl,
)
from numpy.typing import NDArray

hookrag_api = 1
BATCH = 256
DIGEST = 16
PROBES = (
    "What is a fuser?",
    "Rain falls mainly on the plain, and on nothing else. " * 8,
    "Données, 数据, δεδομένα: 42 %.",
)
_OUTPUTS: tuple[Output, ...] = ("dense",)


@hookimpl
def embedders() -> Components:
    return {"kept": Component("kept:KeptEmbedder", "Another embedder's vectors, kept on disk.")}


@hookimpl
def middleware() -> Components:
    return {"once": Component("kept:Once", "Searches once for the questions that are asked in several ways.")}


@hookimpl
def rerankers() -> Components:
    return {"kept": Component("kept:KeptReranker", "Another reranker's scores, kept on disk.")}


class Shelf:
    """Rows of float32 by key, in a folder: a file for each batch that was added, complete or not there."""

    def __init__(self, folder: Path, told: Mapping[str, object]) -> None:
        digest = blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=DIGEST).hexdigest()
        self.folder = folder / digest
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "identity.json").write_text(json.dumps(told, indent=1, sort_keys=True), encoding="utf-8")
        self._rows: dict[bytes, NDArray[np.float32]] = {}
        for path in sorted(self.folder.glob("*.npz")):
            with np.load(path) as file:
                self._take(file["keys"], file["rows"])

    def _take(self, keys: NDArray[np.uint8], rows: NDArray[np.float32]) -> None:
        names = keys.tobytes()
        self._rows.update((names[DIGEST * at : DIGEST * (at + 1)], row) for at, row in enumerate(rows))

    def missing(self, keys: Iterable[bytes]) -> list[bytes]:
        """The keys that it lacks, each once."""
        return [key for key in dict.fromkeys(keys) if key not in self._rows]

    def add(self, keys: Sequence[bytes], rows: NDArray[np.float32]) -> None:
        """Keep one row for each key, from now on."""
        packed = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, DIGEST)
        path = self.folder / f"{uuid4().hex}.npz"
        with path.with_suffix(".part").open("wb") as file:
            np.savez(file, keys=packed, rows=rows)
        os.replace(path.with_suffix(".part"), path)
        self._take(packed, rows)

    def rows(self, keys: Sequence[bytes]) -> NDArray[np.float32]:
        return np.stack([self._rows[key] for key in keys])


def key_of(*parts: str) -> bytes:
    """The name of a row: a hash of the length-prefixed texts that it was computed from."""
    digest = blake2b(digest_size=DIGEST)
    for data in (part.encode("utf-8", "surrogatepass") for part in parts):
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.digest()


class KeptEmbedder:
    """The dense vectors of `embedder`, kept under `folder`."""

    max_concurrency = 1

    def __init__(self, *, embedder: Embedder, folder: Path) -> None:
        self.embedder = embedder
        self.folder = folder
        self._shelf: Shelf | None = None

    @property
    def outputs(self) -> Collection[Output]:
        return _OUTPUTS

    def open(self) -> None:
        own = self.embedder.identity()
        told = {"document": dict(own.document), "query": dict(own.query), "space": own.space}
        self._shelf = Shelf(self.folder, told)
        self._check(self._shelf)

    def _check(self, shelf: Shelf) -> None:
        """Embed a few texts again: code that computes other vectors than it did must not go by those that are kept."""
        keys = [key_of("probe", text) for text in PROBES]
        rows = self.embedder.embed(PROBES, role="document", outputs=_OUTPUTS).dense
        assert rows is not None
        if shelf.missing(keys):
            shelf.add(keys, rows)
        known = shelf.rows(keys)
        cosines = (rows * known).sum(axis=1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(known, axis=1)
        if cosines.min() < 0.9999:
            raise HookragError(
                f"vectors of the same model were kept in {shelf.folder} and differ from those that it gives now (cosine "
                f"{cosines.min():.6f} of a probe): delete that folder"
            )

    def close(self) -> None:
        self._shelf = None

    def identity(self) -> Identity:
        return self.embedder.identity()

    def embed(self, texts: Sequence[str], /, *, role: Role, outputs: Collection[Output]) -> Vectors:
        assert self._shelf is not None
        keys = [key_of(role, text) for text in texts]
        found = dict(zip(keys, texts, strict=True))
        missing = sorted(self._shelf.missing(keys), key=lambda key: len(found[key]))
        for start in range(0, len(missing), BATCH):
            some = missing[start : start + BATCH]
            rows = self.embedder.embed([found[key] for key in some], role=role, outputs=outputs).dense
            assert rows is not None
            self._shelf.add(some, rows)
        return Vectors(dense=self._shelf.rows(keys))


class Once:
    """Remembers what each search over a store found for the last batch of queries, `depth` deep.

    Searches are exact, so that the first k of more hits are what a search for k gives.
    """

    def __init__(self, *, depth: int = 1000) -> None:
        self.depth = depth
        self._lock = threading.Lock()
        self._kept: dict[str, dict[Query, Ranking]] = {}

    def around(self, call: Call, proceed: Proceed, /) -> Any:
        if call.operation != "retrieve" or call.step.use not in ("dense", "text") or call.options["k"] > self.depth:
            return proceed(call)
        with self._lock:
            known = self._kept.get(call.step.fingerprint, {})
        if not all(query in known for query in call.items):
            found = proceed(replace(call, options={**call.options, "k": self.depth}))
            known = dict(zip(call.items, found, strict=True))
            with self._lock:
                self._kept[call.step.fingerprint] = known
        k = call.options["k"]
        return [replace(known[query], hits=known[query].hits[:k]) for query in call.items]


class KeptReranker:
    """The scores of `reranker`, kept under `folder`; a first pair tells what kind of score they are."""

    max_concurrency = 1

    def __init__(self, *, reranker: Reranker, folder: Path) -> None:
        self.reranker = reranker
        self.folder = folder
        self._shelf: Shelf | None = None
        self._probe: Ranking | None = None

    def open(self) -> None:
        chunk = Chunk("probe", "probe", "Paris is the capital of France.", 0, 31)
        asked = Ranking(Query("probe", "capital of France"), (Hit(chunk, 0.0),), "probe", ScoreKind("rank"))
        (self._probe,) = self.reranker.rerank([asked], k=1)
        score = float(np.float32(self._probe.hits[0].score))
        self._shelf = Shelf(self.folder, {"kind": str(self._probe.kind), "probe": round(score, 4)})

    def close(self) -> None:
        self._shelf = self._probe = None

    def rerank(self, rankings: Sequence[Ranking], /, *, k: int) -> list[Ranking]:
        assert self._shelf is not None
        assert self._probe is not None
        return [self._one(ranking, k, self._shelf, self._probe) for ranking in rankings]

    def _one(self, ranking: Ranking, k: int, shelf: Shelf, probe: Ranking) -> Ranking:
        keys = {key_of(ranking.query.text, hit.chunk.input): hit for hit in ranking.hits}
        missing = shelf.missing(keys)
        if missing:
            asked = replace(ranking, hits=tuple(keys[key] for key in missing))
            (told,) = self.reranker.rerank([asked], k=len(missing))
            scores = {hit.chunk.id: hit.score for hit in told.hits}
            rows = [[scores[keys[key].chunk.id]] for key in missing]
            shelf.add(missing, np.array(rows, dtype=np.float32))
        if not ranking.hits:
            return replace(ranking, stage=probe.stage, kind=probe.kind)
        scored = shelf.rows([key_of(ranking.query.text, hit.chunk.input) for hit in ranking.hits])[:, 0]
        hits = [replace(hit, score=float(score)) for hit, score in zip(ranking.hits, scored, strict=True)]
        return Ranking(ranking.query, best(hits, k), probe.stage, probe.kind)
