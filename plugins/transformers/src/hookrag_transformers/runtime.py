"""Running a model: batches of equal padded length, ONNX Runtime, and sessions that components share.

Padded lengths are multiples of 8 and a batch holds one padded length only, so that every text goes through the same arithmetic
whatever else is in the call: results are equal to the bit, alone or among others. It costs nothing (texts of 124 tokens in the
mean, 2 cores: 58 a second; sorted by length and padded to the longest 57). A budget of 1024 tokens is best: 2048 is 3 % slower,
4096 is 8 %.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Literal, Protocol
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from hookrag_transformers.models import ModelError
from hookrag_transformers.tokens import Sequences

MAX_THREADS = 1024
_STEP = 8
_OUTPUTS = {"states": ("states", "last_hidden_state", "token_embeddings"), "scores": ("scores", "logits")}


def default_threads() -> int:
    """OMP_NUM_THREADS where it is set, up to 1024, else the processors that this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return min(int(wanted), MAX_THREADS)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def batches(lengths: Sequence[int], budget: int) -> Iterator[tuple[int, list[int]]]:
    """(padded length, indices) of each batch, longest first; a batch has at most `budget` padded tokens, or one text.

    What has no tokens is in none.

    >>> list(batches([3, 20, 8, 5], 16))
    [(24, [1]), (8, [0, 2]), (8, [3])]
    """
    groups: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        if length:
            groups.setdefault(-(-length // _STEP) * _STEP, []).append(index)
    for padded in sorted(groups, reverse=True):
        group, size = groups[padded], max(1, budget // padded)
        for start in range(0, len(group), size):
            yield padded, group[start : start + size]


class Runs(Protocol):
    """A loaded model. Safe from several threads."""

    def run(
        self, sequences: Sequences, budget: int
    ) -> Iterator[tuple[list[int], NDArray[np.float32], NDArray[np.intp]]]:
        """(indices, output, lengths) of each batch of at most `budget` padded tokens; every index comes once.

        A sequence of no tokens comes in none. Output: float32[n, t, d] of states or float32[n, labels] of scores.
        """
        ...


class Session:
    """A graph in ONNX Runtime, on the CPU: its states of tokens or its scores. Safe from several threads."""

    def __init__(self, graph: Path, threads: int, gives: Literal["states", "scores"]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Shapes differ from batch to batch: a memory plan for each would only grow.
        options.enable_mem_pattern = False
        # Waiting threads sleep: spinning gains 1 % alone and takes a core from whoever else runs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(graph),
                options,
                providers=["CPUExecutionProvider"],
                # The fused operator is slower on a CPU than its parts (graph.py).
                disabled_optimizers=["SkipLayerNormFusion"],
            )
        except Exception as error:
            raise ModelError(
                f"ONNX Runtime cannot load {graph}: {error}; remove the file if it lies in .hookrag or .graphs, where it is "
                "made anew, else fetch or copy the model again"
            ) from error
        self._types = {
            given.name: np.int64 if given.type == "tensor(int64)" else np.int32 for given in self._session.get_inputs()
        }
        unknown = set(self._types) - {"input_ids", "attention_mask", "token_type_ids"}
        if unknown:
            raise ModelError(f"{graph} wants the inputs {', '.join(sorted(unknown))}, unknown to an encoder of texts")
        names = [output.name for output in self._session.get_outputs()]
        known = _OUTPUTS[gives]
        if not set(known) & set(names):
            raise ModelError(
                f"{graph} gives {', '.join(names)}; the {gives} that are read from it are called {' or '.join(known[1:])}: "
                "export the model anew, or save it as safetensors"
            )
        self._output = next(name for name in known if name in names)

    def run(
        self, sequences: Sequences, budget: int
    ) -> Iterator[tuple[list[int], NDArray[np.float32], NDArray[np.intp]]]:
        """(indices, output, lengths) of each batch of at most `budget` padded tokens; every index comes once."""
        lengths = [len(ids) for ids in sequences.ids]
        for padded, chosen in batches(lengths, budget):
            feed = {
                "input_ids": filled([sequences.ids[i] for i in chosen], padded),
                "token_type_ids": filled([sequences.types[i] for i in chosen], padded),
            }
            counts = np.array([lengths[i] for i in chosen], dtype=np.intp)
            feed["attention_mask"] = (np.arange(padded) < counts[:, None]).astype(np.int32)
            given = {name: feed[name].astype(dtype, copy=False) for name, dtype in self._types.items()}
            yield chosen, self._session.run([self._output], given)[0], counts


def filled(rows: Sequence[NDArray[np.int32]], width: int, value: int = 0) -> NDArray[np.int32]:
    """int32[n, width] with `value` behind the end of each row; what is there is masked, so that 0 does for most models."""
    table = np.full((len(rows), width), value, dtype=np.int32)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    return table


_sessions: WeakValueDictionary[Hashable, Runs] = WeakValueDictionary()
_opening = Lock()


def shared(key: Hashable, load: Callable[[], Runs]) -> Runs:
    """The model of that key: one for all components that use it, gone with the last of them."""
    with _opening:
        session = _sessions.get(key)
        if session is None:
            session = _sessions[key] = load()
        return session
