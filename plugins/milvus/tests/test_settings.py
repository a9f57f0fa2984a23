"""What the constructor refuses, and what an engine is asked for: an index has its own parameters and no others."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hookrag_milvus.index import options
from hookrag_milvus.store import Milvus
from milvus_kit import made

NAMES = ("m", "ef_construction", "ef", "nlist", "nprobe")
SECRET = "uri holds a secret: take it out, and name the environment variable that has it by token_env"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metric": "HAMMING"}, "metric must be one of 'COSINE', 'IP', 'L2', got 'HAMMING' (str)"),
        ({"metric": "l2"}, "metric must be one of 'COSINE', 'IP', 'L2', got 'l2' (str)"),
        *(
            ({"index": index}, f"index must be one of 'FLAT', 'IVF_FLAT', 'HNSW', got {index!r} (str)")
            for index in ("DISKANN", "SCANN", "IVF_PQ", "IVF_SQ8", "HNSW_PQ", "HNSW_SQ", "IVF_RABITQ", "AUTOINDEX", "")
        ),
        ({"index": "HNSW", "m": 1}, "m must be in [2, 2048], got 1"),
        ({"index": "HNSW", "m": 2049}, "m must be in [2, 2048], got 2049"),
        ({"index": "HNSW", "ef_construction": 7}, "ef_construction must be in [8, 32768], got 7"),
        ({"index": "HNSW", "ef": 0}, "ef must be in [1, 32768], got 0"),
        (
            {"index": "HNSW", "m": 40, "ef_construction": 39},
            "m must be at most ef_construction, got m = 40 and ef_construction = 39",
        ),
        ({"index": "IVF_FLAT", "nlist": 0}, "nlist must be in [1, 65536], got 0"),
        ({"index": "IVF_FLAT", "nprobe": 65_537}, "nprobe must be in [1, 65536], got 65537"),
        (
            {"index": "IVF_FLAT", "nlist": 8, "nprobe": 9},
            "nprobe must be at most nlist, got nprobe = 9 and nlist = 8",
        ),
        ({"index": "IVF_FLAT", "nprobe": 129}, "nprobe must be at most nlist, got nprobe = 129 and nlist = 128"),
        *(
            ({name: 16}, f"{name} is a parameter of {owner}, got index = 'FLAT': take it out, or set index = '{owner}'")
            for name, owner in zip(NAMES, ("HNSW", "HNSW", "HNSW", "IVF_FLAT", "IVF_FLAT"), strict=True)
        ),
        (
            {"index": "HNSW", "nprobe": 9},
            "nprobe is a parameter of IVF_FLAT, got index = 'HNSW': take it out, or set index = 'IVF_FLAT'",
        ),
        (
            {"index": "IVF_FLAT", "ef": 64},
            "ef is a parameter of HNSW, got index = 'IVF_FLAT': take it out, or set index = 'HNSW'",
        ),
        ({"timeout": 0.0}, "timeout must be above 0 seconds, got 0.0"),
        ({"timeout": math.nan}, "timeout must be a finite number, got nan"),
        (
            {"collection": "a-b"},
            "collection must be up to 240 letters, digits and underscores and not begin with a digit, got 'a-b'",
        ),
        (
            {"collection": "a_g2", "uri": "http://host:19530"},
            "collection must not end in _g and a number, as the generations of an index do, got 'a_g2'",
        ),
        ({"generation": 0, "uri": "http://host:19530"}, "generation must be in [1, 999999999], got 0"),
        (
            {"generation": 1},
            "generation is for a server, got no uri: the generations of an embedded database are folders, set path",
        ),
        ({"token_env": "TOKEN"}, "token_env is for a server, got no uri: set uri, or leave token_env out"),
        ({"uri": "http://me:hunter2@host:19530"}, SECRET),
        ({"uri": "http://host:19530/?token=hunter2"}, SECRET),
        (
            {"uri": "./x.db"},
            "uri must be http://host:port or https://host:port, got './x.db'; an embedded database needs no uri",
        ),
        ({"uri": "http://[::1"}, "uri is not a URL, expected http://host:port or https://host:port"),
    ],
)
def test_bad_settings_are_refused(tmp_path: Path, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        made(tmp_path, **settings)
    assert str(caught.value) == message
    assert "hunter2" not in str(caught.value)


def test_what_is_not_given_follows_what_is() -> None:
    nothing = dict.fromkeys(NAMES)
    assert options("COSINE", "FLAT", nothing).parameters == {}
    assert options("COSINE", "HNSW", nothing).parameters == {"m": 16, "ef_construction": 200, "ef": 64}
    assert options("COSINE", "HNSW", {**nothing, "m": 300}).parameters["ef_construction"] == 300
    assert options("COSINE", "HNSW", {**nothing, "ef_construction": 8}).parameters["m"] == 8
    assert options("COSINE", "IVF_FLAT", {**nothing, "nlist": 4}).parameters == {"nlist": 4, "nprobe": 4}


def test_a_search_has_the_parameters_of_its_index_and_an_ef_of_twice_k() -> None:
    nothing = dict.fromkeys(NAMES)
    assert options("L2", "FLAT", nothing).search(10, filtered=True) == {}
    assert options("L2", "IVF_FLAT", {**nothing, "nprobe": 5}).search(1_000, filtered=False) == {"nprobe": 5}
    assert options("L2", "IVF_FLAT", {**nothing, "nprobe": 5}).search(1_000, filtered=True) == {"nprobe": 128}
    graph = options("L2", "HNSW", {**nothing, "ef": 100})
    assert [graph.search(k, filtered=False)["ef"] for k in (1, 50, 51, 16_384)] == [100, 100, 102, 32_768]
    assert [graph.search(k, filtered=True)["ef"] for k in (1, 51, 16_384)] == [6_400, 6_528, 32_768]


def test_a_store_ranks_by_dense_vectors_alone() -> None:
    # The word search of Milvus Lite has scores below zero and an idf a segment: words are ranked by other stores.
    assert [name for name in dir(Milvus) if name.startswith("search_")] == ["search_dense"]


def test_only_the_embedded_engine_is_out_of_reach_of_late_writes(tmp_path: Path) -> None:
    # A server may still take a write of a run that was killed; the embedded engine dies with its process.
    assert made(tmp_path).fenced is True
    assert made(tmp_path, uri="http://host:19530").fenced is False
    assert made(tmp_path, uri="http://host:19530", generation=2).fenced is False
