"""The graph of a checkpoint for ONNX Runtime: built on first use, kept in a folder `.hookrag` beside the weights."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from hookrag_transformers.architecture import architecture_of, canonical
from hookrag_transformers.checkpoint import Checkpoint, kept_folder, tensors_of
from hookrag_transformers.graph import VERSION, Head, write_graph
from hookrag_transformers.models import ModelError

_DAY = 24 * 3600.0


def graph_of(checkpoint: Checkpoint, head: Head) -> Path:
    """The graph with that head; an export is its own, whatever the head. Raises ModelError where none can be built."""
    if checkpoint.form == "export":
        return checkpoint.files[0]
    model = checkpoint.model
    graph = kept_folder(model) / f"graph-{VERSION}-{head}-{checkpoint.weights[:16]}-{checkpoint.config[:16]}.onnx"
    for part in graph.parent.glob("*.part"):
        with suppress(OSError):  # of a process that was killed: no other takes a day
            if time.time() - part.stat().st_mtime > _DAY:
                part.unlink()
    if not (graph.is_file() and graph.with_name(graph.name + ".weights").is_file()):
        config = model.read("config.json")
        shape = architecture_of(config, f"model {model.name}")
        try:
            write_graph(canonical(tensors_of(checkpoint), config), shape, head, graph)
        except ModelError as error:
            raise ModelError(f"model {model.name}: {error}") from error
        for stale in graph.parent.glob(f"graph-*-{head}-*"):
            if not stale.name.startswith(graph.name):
                with suppress(OSError):  # of other weights or settings, or made by an older version; perhaps in use
                    stale.unlink()
    return graph
