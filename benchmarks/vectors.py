"""Dense vectors in hookrag-faiss and in hookrag-milvus (Milvus Lite), side by side at one size.

    python benchmarks/vectors.py 100000 [--stores faiss,faiss-flat,milvus] [--dim 384] [--ef-construction 200] [--folder DIR]

Each store is filled in a process of its own and searched in another, so that memory is its alone. The vectors lie in sqrt(rows)
clusters of 32 dimensions; queries are new points of the same clusters; recall is against every vector compared by numpy. Rows
are put a thousand at a time and synced every ten thousand. On a machine that others use too, processor time is what compares.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from hookrag import Chunk, Row
from hookrag.testing.fakes import HashEmbedder, WordChunker
from numpy.typing import NDArray

BATCH, SYNC = 1_000, 10_000
QUERIES, K = 256, 10
LATENT = 32
Floats = NDArray[np.float32]


class Space:
    """Clustered unit vectors, the same ones for each number whenever they are asked for."""

    def __init__(self, rows: int, dim: int) -> None:
        rng = np.random.default_rng(0)
        self.dim = dim
        self._axes = rng.normal(size=(LATENT, dim)).astype(np.float32)
        self._centres = rng.normal(size=(max(int(rows**0.5), 1), LATENT)).astype(np.float32)

    def points(self, block: int, count: int) -> Floats:
        """Some points; another `block` gives others."""
        rng = np.random.default_rng(1_000 + block)
        near = self._centres[rng.integers(0, len(self._centres), count)]
        latent = near + 0.5 * rng.normal(size=near.shape).astype(np.float32)
        points = latent @ self._axes + 0.3 * rng.normal(size=(count, self.dim)).astype(np.float32)
        return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)

    def queries(self) -> Floats:
        return self.points(-1, QUERIES)


def name(number: int) -> str:
    return f"{number:032x}"


def rows_of(points: Floats, block: int) -> list[Row]:
    rows = []
    for at, vector in enumerate(points):
        number = block * BATCH + at
        text = f"Row {number} of a collection; its text is as long as a short passage, so that it takes some room. " * 2
        chunk = Chunk(name(number), f"d/{number // 4}", text, 0, len(text), metadata={"tenth": number % 10})
        rows.append(Row(chunk, "bench", number, vector))
    return rows


def made(kind: str, folder: Path, ef_construction: int = 200) -> Any:
    """The store of that name in a folder."""
    parts: dict[str, Any] = {"chunker": WordChunker(), "embedder": HashEmbedder(), "path": folder / kind}
    if kind == "milvus":
        from hookrag_milvus.store import Milvus

        return Milvus(index="HNSW", ef_construction=ef_construction, **parts)
    from hookrag_faiss.store import Faiss

    return Faiss(index="FLAT" if kind == "faiss-flat" else "HNSW", ef_construction=ef_construction, **parts)


class Memory:
    """The most memory that the process had: anonymous, and with the pages of files that it has mapped."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._anonymous = 0
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _status(self, field: str) -> int:
        [line] = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith(field + ":")]
        return int(line.split()[1]) // 1024

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self._anonymous = max(self._anonymous, self._status("RssAnon"))

    def peak(self) -> dict[str, int]:
        self._stop.set()
        self._watcher.join()
        return {"anonymous MB": self._anonymous, "resident MB": self._status("VmHWM")}


def fill(kind: str, folder: Path, count: int, dim: int, ef_construction: int) -> dict[str, Any]:
    """Put all rows; rows per second of the store's own time."""
    space, memory = Space(count, dim), Memory()
    store = made(kind, folder, ef_construction)
    store.open()
    own = slowest = worked = 0.0
    for block in range(-(-count // BATCH)):
        rows = rows_of(space.points(block, min(BATCH, count - block * BATCH)), block)
        start, before = time.perf_counter(), time.process_time()
        refused = store.put(rows, version=1)
        if (block + 1) % (SYNC // BATCH) == 0:
            store.sync()
        took = time.perf_counter() - start
        assert not refused, refused
        own, slowest, worked = own + took, max(slowest, took), worked + time.process_time() - before
    start, before = time.perf_counter(), time.process_time()
    store.sync()
    store.close()
    own, worked = own + time.perf_counter() - start, worked + time.process_time() - before
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {
        "rows/s": round(count / own), "fill s": round(own, 1), "fill processor s": round(worked, 1),
        "slowest put s": round(slowest, 1),
        **{f"fill {field}": value for field, value in memory.peak().items()}, "disk MB": size >> 20,
    }  # fmt: skip


def search(kind: str, folder: Path, count: int, dim: int) -> dict[str, Any]:
    """Open, then search alone and 64 at a time."""
    queries, memory = Space(count, dim).queries(), Memory()
    start = time.perf_counter()
    store = made(kind, folder)
    store.open()
    opened = time.perf_counter() - start
    start = time.perf_counter()
    store.search_dense(queries[:1], k=K, where=None)
    first = time.perf_counter() - start
    times: list[float] = []
    before = time.process_time()
    for query in queries[: 64 if count > 200_000 and kind != "faiss" else QUERIES]:
        start = time.perf_counter()
        store.search_dense(query[None], k=K, where=None)
        times.append((time.perf_counter() - start) * 1000)
    worked = (time.process_time() - before) * 1000 / len(times)
    start = time.perf_counter()
    found = [store.search_dense(queries[at : at + 64], k=K, where=None) for at in range(0, QUERIES, 64)]
    batch = (time.perf_counter() - start) * 64_000 / QUERIES
    hits = [[hit.chunk.id for hit in one] for part in found for one in part]
    store.close()
    return {
        "open s": round(opened, 2), "first ms": round(first * 1000), "processor ms": round(worked, 2),
        "p50 ms": round(float(np.median(times)), 2),
        "p95 ms": round(float(np.percentile(times, 95)), 2), "64 at once ms": round(batch, 1),
        **{f"search {field}": value for field, value in memory.peak().items()}, "hits": hits,
    }  # fmt: skip


def exact(count: int, dim: int) -> list[set[str]]:
    """The true nearest rows of each query."""
    space = Space(count, dim)
    queries = space.queries()
    scores, rows = np.full((QUERIES, 0), 0, np.float32), np.zeros((QUERIES, 0), np.int64)
    for block in range(-(-count // BATCH)):
        points = space.points(block, min(BATCH, count - block * BATCH))
        scores = np.concatenate([scores, queries @ points.T], axis=1)
        numbers = np.arange(block * BATCH, block * BATCH + len(points))
        rows = np.concatenate([rows, np.broadcast_to(numbers, (QUERIES, len(numbers)))], axis=1)
        best = np.argpartition(-scores, min(K, scores.shape[1]) - 1, axis=1)[:, :K]
        scores, rows = np.take_along_axis(scores, best, 1), np.take_along_axis(rows, best, 1)
    return [{name(int(number)) for number in one} for one in rows]


def _child(task: Callable[..., Any], arguments: tuple[Any, ...], target: str) -> None:
    Path(target).write_text(json.dumps(task(*arguments)))


def apart(task: Callable[..., Any], *arguments: Any) -> Any:
    """What the task returns, in a process of its own."""
    with tempfile.NamedTemporaryFile() as target:
        child = multiprocessing.get_context("spawn").Process(target=_child, args=(task, arguments, target.name))
        child.start()
        child.join()
        if child.exitcode:
            raise SystemExit(f"{task.__name__} {arguments[0]} ended with {child.exitcode}")
        return json.loads(Path(target.name).read_text())


def lines(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    """The table."""
    fields = list(dict.fromkeys(field for one in results.values() for field in one))
    width = max(map(len, fields))
    yield " " * width + "".join(f"{kind:>14}" for kind in results)
    for field in fields:
        yield f"{field:{width}}" + "".join(f"{one.get(field, '')!s:>14}" for one in results.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int)
    parser.add_argument("--stores", default="faiss,faiss-flat,milvus")
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--ef-construction", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where the stores are made, and stay; a temporary folder otherwise")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as temporary:
        folder = asked.folder or Path(temporary)
        truth = exact(asked.rows, asked.dim)
        results = {}
        for kind in asked.stores.split(","):
            (folder / kind).mkdir(exist_ok=True)
            filled = apart(fill, kind, folder / kind, asked.rows, asked.dim, asked.ef_construction)
            found = apart(search, kind, folder / kind, asked.rows, asked.dim)
            right = [len(set(one) & want) / len(want) for one, want in zip(found.pop("hits"), truth, strict=True)]
            results[kind] = {**filled, **found, "recall@10": round(float(np.mean(right)), 4)}
            print(kind, json.dumps(results[kind]), flush=True)
    print("\n".join(lines(results)))


if __name__ == "__main__":
    main()
