"""From a model's folder to a graph that can be run: built on first use, kept in a folder `.hookrag` beside the weights.

Weights are used in this order: `model.safetensors`, and an ONNX file with dynamically quantised weights (`model.onnx`,
`onnx/model.onnx`), which are made float32 again; for both the graph is built here. A float32 ONNX file is used as it is.

Why quantised files are not run as they are: dynamic quantisation takes the range of the activations from the whole batch,
so that a text's result depends on its neighbours, and where integers saturate depends on the processor. Run one text at a
time they are faster and less exact. Measured with ms-marco-MiniLM-L-12-v2 on 200 pairs of SciFact (25 queries, 362 tokens a
pair, one thread without VNNI): 8.7 pairs a CPU second against 4.7 in float32, the same MRR (.848), scores off by .18 in the
mean and .83 at most, Kendall's tau .949 within a query. Float32 is the default because it is the reference's arithmetic.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from hookrag_transformers.architecture import SUPPORTED, architecture_of, canonical
from hookrag_transformers.fetch import sha256_of
from hookrag_transformers.graph import VERSION, Head, replace_file, write_graph
from hookrag_transformers.models import Model, ModelError, models_folder
from hookrag_transformers.weights import dequantised, is_quantised, read_safetensors

_SOURCES = ("model.safetensors", "model.onnx", "onnx/model.onnx")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A graph ready to run, and the sha256 of what it was made from."""

    graph: Path
    weights: str
    tokenizer: str


def prepare(model: Model, head: Head) -> Prepared:
    """The graph of the model with that head; raises ModelError where there are no weights that can be used."""
    tokenizer = model.folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise ModelError(
            f"model {model.name}: {model.folder} has no tokenizer.json: save the model with a fast tokenizer"
        )
    sources = [model.folder / name for name in _SOURCES if (model.folder / name).is_file()]
    if not sources:
        raise ModelError(
            f"model {model.name}: {model.folder} has none of {', '.join(_SOURCES)}; "
            "weights in pickles (pytorch_model.bin) are not read: save the model as safetensors"
        )
    kept = _kept_folder(model)
    source = _chosen(model, sources)
    weights = _remembered_sha256(source, kept)
    graph = kept / f"graph-{VERSION}-{head}-{weights[:16]}.onnx"
    if not (graph.is_file() and graph.with_name(graph.name + ".weights").is_file()):
        if source.suffix == ".onnx" and not _is_quantised_file(source):
            graph = source
        else:
            _build(model, source, head, graph)
    return Prepared(graph, weights, _remembered_sha256(tokenizer, kept))


def _chosen(model: Model, sources: list[Path]) -> Path:
    """The first source that can be used: weights of a family that cannot be built here stand behind a ready graph."""
    if model.read("config.json").get("model_type") not in SUPPORTED:
        for source in sources:
            if source.suffix == ".onnx" and not _is_quantised_file(source):
                return source
    return sources[0]


def _build(model: Model, source: Path, head: Head, graph: Path) -> None:
    config = model.read("config.json")
    shape = architecture_of(config, f"model {model.name}")
    if source.suffix == ".onnx":
        import onnx

        tensors = dequantised(onnx.load(source).graph)
    else:
        tensors = read_safetensors(source)
    write_graph(canonical(tensors, config), shape, head, graph)


def _is_quantised_file(path: Path) -> bool:
    import onnx

    return is_quantised(onnx.load(path, load_external_data=False).graph)


def _kept_folder(model: Model) -> Path:
    """`.hookrag` in the model's folder, or where that cannot be written one in the models folder."""
    beside = model.folder / ".hookrag"
    with suppress(OSError):
        beside.mkdir(exist_ok=True)
        if os.access(beside, os.W_OK):
            return beside
    elsewhere = models_folder() / ".graphs" / sha256(str(model.folder).encode()).hexdigest()[:16]
    elsewhere.mkdir(parents=True, exist_ok=True)
    return elsewhere


def _remembered_sha256(path: Path, kept: Path) -> str:
    """The sha256 of a file, computed once for each (path, size, time of change)."""
    status = path.stat()
    state: dict[str, Any] = {"path": str(path), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    record = kept / f"{path.name}.sha256.json"
    with suppress(OSError, ValueError):
        known = json.loads(record.read_text(encoding="utf-8"))
        if {key: known.get(key) for key in state} == state:
            return str(known["sha256"])
    digest = sha256_of(path)
    replace_file(record, [json.dumps({**state, "sha256": digest}).encode()])
    return digest
