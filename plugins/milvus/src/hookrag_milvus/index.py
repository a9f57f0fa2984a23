"""How vectors are compared and found: the metrics, the indexes that every engine here builds, and their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal, TypeAlias

from hookrag import Between, ScoreKind
from hookrag_stores.vectors import KINDS, Metric

IndexType = Literal["FLAT", "IVF_FLAT", "HNSW"]
# Milvus Lite says yes to others (DISKANN, SCANN, IVF_PQ), and cannot load the collection ever after.

MAX_K = 16_384
MAX_EF = 32_768
M: TypeAlias = Annotated[
    int | None, Between(2, 2_048), "of HNSW: neighbours in its graph; 16, at most `ef_construction`"
]
EfConstruction: TypeAlias = Annotated[
    int | None, Between(8, MAX_EF), "of HNSW: rows that are looked at while the graph is built; 200"
]
Ef: TypeAlias = Annotated[
    int | None, Between(1, MAX_EF), "of HNSW: rows that a search looks at; 64, and at least 2 k for k rows"
]
Nlist: TypeAlias = Annotated[int | None, Between(1, 65_536), "of IVF_FLAT: how many lists there are; 128"]
Nprobe: TypeAlias = Annotated[
    int | None, Between(1, 65_536), "of IVF_FLAT: how many of them a search reads; 16, at most `nlist`"
]
_WIDER = 64


@dataclass(frozen=True, slots=True)
class _Parameter:
    index: IndexType
    default: int


_PARAMETERS: Mapping[str, _Parameter] = MappingProxyType(
    {
        "m": _Parameter("HNSW", 16),
        "ef_construction": _Parameter("HNSW", 200),
        "ef": _Parameter("HNSW", 64),
        "nlist": _Parameter("IVF_FLAT", 128),
        "nprobe": _Parameter("IVF_FLAT", 16),
    }
)


BUILT: Mapping[str, str] = MappingProxyType({"m": "M", "ef_construction": "efConstruction", "nlist": "nlist"})
"""The parameters that an index is built with, and what Milvus calls them."""


@dataclass(frozen=True, slots=True)
class Options:
    """How vectors are compared and indexed; `parameters` are those of this index, all of them."""

    metric: Metric
    index: IndexType
    parameters: Mapping[str, int]

    @property
    def kind(self) -> ScoreKind:
        """What the scores are."""
        return KINDS[self.metric]

    @property
    def build(self) -> dict[str, int]:
        """The parameters that the index is built with, as Milvus names them."""
        return {BUILT[name]: value for name, value in self.parameters.items() if name in BUILT}

    def search(self, k: int, *, filtered: bool) -> dict[str, int]:
        """The parameters of a search for k rows, as Milvus names them; an ef below 2 k is raised to that.

        Under a filter the index is searched more widely, for few of the rows that it comes by count: all lists; of a graph 64
        times as many. On 50,000 rows that found 99 of 100 where one row in 300 matched (with ef itself 16), for 8 ms a query.
        """
        if self.index == "HNSW":
            ef = max(self.parameters["ef"], 2 * k)
            return {"ef": min(_WIDER * ef, MAX_EF) if filtered else ef}
        if self.index == "IVF_FLAT":
            return {"nprobe": self.parameters["nlist" if filtered else "nprobe"]}
        return {}

    def score(self, distance: float) -> float:
        """The score, higher is better, of what Milvus calls the distance."""
        if self.metric == "COSINE":
            return min(1.0, max(-1.0, distance))
        return -distance if self.metric == "L2" else distance


def options(metric: Metric, index: IndexType, given: Mapping[str, int | None]) -> Options:
    """The options with defaults for what is None. ValueError for a parameter that the index cannot have."""
    for name, value in given.items():
        known = _PARAMETERS[name]
        if value is None:
            continue
        if known.index != index:
            raise ValueError(
                f"{name} is a parameter of {known.index}, got index = {index!r}: take it out, or set "
                f"index = {known.index!r}"
            )
    chosen = {
        name: known.default if (value := given.get(name)) is None else value
        for name, known in _PARAMETERS.items()
        if known.index == index
    }
    _relate(chosen, given)
    return Options(metric, index, MappingProxyType(chosen))


def _relate(chosen: dict[str, int], given: Mapping[str, int | None]) -> None:
    """Refuse pairs of which the engine would quietly change one; a default follows what was given beside it."""
    for low, high in (("nprobe", "nlist"), ("m", "ef_construction")):
        if low not in chosen or chosen[low] <= chosen[high]:
            continue
        if given.get(low) is None:
            chosen[low] = chosen[high]
        elif given.get(high) is None and low == "m":
            chosen[high] = chosen[low]
        else:
            raise ValueError(f"{low} must be at most {high}, got {low} = {chosen[low]} and {high} = {chosen[high]}")
