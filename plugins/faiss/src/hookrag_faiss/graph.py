"""HNSW graphs of faiss over vectors that stay in the map of their segment.

A graph is built over a copy of the vectors in memory, and written without them. To search it, faiss is shown the vectors where
they are mapped, and the graph where it is. Y. Malkov, D. Yashunin, "Efficient and robust approximate nearest neighbor search
using Hierarchical Navigable Small World graphs", 2016.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from hookrag_segments.files import Arrays, ArrayWriter, File
from hookrag_segments.segment import Segment
from hookrag_segments.snapshot import Mask, Opened
from hookrag_stores.vectors import Floats, Metric
from numpy.typing import NDArray

from hookrag_faiss.columns import dim_of, matrix

faiss: Any = import_module("faiss")  # the types that it comes with lack most of what is used here

BLOCK_ROWS = 8192
_UNIT = 1e-5
"""Norms this near to 1 are 1: the graph is then over the vectors as they are."""


def build(path: Path, segment: Segment, base: Opened | None, metric: Metric, *, m: int, ef_construction: int) -> File:
    """Write a graph over all rows of a segment, durable when this returns; where it can, one that extends the base's graph."""
    dim = dim_of(segment)
    storage = faiss.IndexFlat(dim, _number(metric))
    # Room for all at once: growing in steps, a vector of C++ would take up to three times as much.
    storage.codes.resize(4 * dim * len(segment))
    storage.codes.resize(0)
    begun = 0
    if base is not None and base.companion is not None and base.companion.facts["m"] == m:
        graph, begun = _read_copy(base.companion), len(base.segment)
        for block in _blocks(segment, metric, 0, begun):
            storage.add(block)
        # Setting it takes the storage from Python: the graph has to free it.
        graph.storage, graph.own_fields = storage, True
    else:
        graph = faiss.IndexHNSW(storage, m)
    graph.hnsw.efConstruction = ef_construction
    for block in _blocks(segment, metric, begun, len(segment)):
        graph.add(block)
    sink = faiss.VectorIOWriter()
    faiss.write_index(graph, sink, faiss.IO_FLAG_SKIP_STORAGE)
    written = faiss.vector_to_array(sink.data)
    unit = metric == "COSINE" and not _normal(segment)
    layout = {"graph": ("u1", len(written)), "unit": ("<f4", len(segment) * dim if unit else 0)}
    with ArrayWriter(path, layout) as file:
        file.append("graph", written)
        if unit:
            for block in _blocks(segment, metric, 0, len(segment)):
                file.append("unit", block.reshape(-1))
        return file.finish({"m": m, "ef_construction": ef_construction})


class Graph:
    """A graph that is searched in its map. Safe from several threads."""

    def __init__(self, segment: Segment, companion: Arrays, metric: Metric) -> None:
        # faiss follows the numbers of a graph wherever they lead: a damaged one would end the process.
        companion.verify()
        self._vectors = companion.arrays["unit"] if len(companion.arrays["unit"]) else segment["vectors"]
        self._bytes = companion.arrays["graph"]
        dim = dim_of(segment)
        self._storage = faiss.IndexFlat(dim, _number(metric))
        empty = self._storage.codes.owner
        view = faiss.MaybeOwnedVectorUInt8.create_view(faiss.swig_ptr(self._vectors), self._vectors.nbytes, empty)
        self._storage.codes = view
        self._storage.ntotal = len(segment)
        self._index = faiss.read_index(
            faiss.ZeroCopyIOReader(faiss.swig_ptr(self._bytes), self._bytes.nbytes),
            faiss.IO_FLAG_MMAP_IFC | faiss.IO_FLAG_SKIP_STORAGE,
        )
        self._index.storage, self._index.own_fields = self._storage, True

    def search(self, queries: Floats, k: int, ef: int, mask: Mask | None) -> NDArray[np.int64]:
        """About the k nearest rows of those in the mask for each query, -1 where fewer were found: int64[q, k]."""
        if mask is None:
            return self._found(queries, k, faiss.SearchParametersHNSW(efSearch=ef))
        bits = np.packbits(mask, bitorder="little")
        selector = faiss.IDSelectorBitmap(bits)
        return self._found(queries, k, faiss.SearchParametersHNSW(efSearch=ef, sel=selector))

    def _found(self, queries: Floats, k: int, parameters: object) -> NDArray[np.int64]:
        _, rows = self._index.search(queries, k, params=parameters)
        found: NDArray[np.int64] = rows
        return found


def _number(metric: Metric) -> int:
    return int(faiss.METRIC_L2 if metric == "L2" else faiss.METRIC_INNER_PRODUCT)


def _normal(segment: Segment) -> bool:
    return bool((np.abs(segment["norms"] - 1) <= _UNIT).all())


def _blocks(segment: Segment, metric: Metric, start: int, stop: int) -> Iterator[Floats]:
    """The vectors as the graph compares them, a block at a time; the pages that were read are given back."""
    vectors, norms = matrix(segment), segment["norms"]
    scaled = metric == "COSINE" and not _normal(segment)
    for at in range(start, stop, BLOCK_ROWS):
        block = vectors[at : min(at + BLOCK_ROWS, stop)]
        yield (block / norms[at : at + len(block), None]).astype(np.float32) if scaled else block
        segment.data.forget()


def _read_copy(companion: Arrays) -> Any:
    """The graph of a companion in memory of its own, where it can grow."""
    companion.verify()
    source = faiss.VectorIOReader()
    faiss.copy_array_to_vector(np.array(companion.arrays["graph"]), source.data)
    return faiss.read_index(source, faiss.IO_FLAG_SKIP_STORAGE)
