"""Where a model runs: ONNX Runtime on the CPU, or torch on the CPU or an accelerator."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from hookrag import AtLeast, Between, Matching

from hookrag_transformers.architecture import architecture_of
from hookrag_transformers.checkpoint import Backend, Checkpoint, checkpoint_of
from hookrag_transformers.graph import Head
from hookrag_transformers.models import Model, ModelError
from hookrag_transformers.prepare import graph_of
from hookrag_transformers.runtime import MAX_THREADS, Runs, Session, default_threads, shared

BackendChoice = Literal["auto", "onnx", "torch"]
Dtype = Literal["float32", "float16", "bfloat16"]
NUMBERS: dict[Dtype, str] = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
"""The numeric classes of an identity."""

BackendOption: TypeAlias = Annotated[
    BackendChoice,
    "what computes; auto is torch on an accelerator if there is one, else ONNX Runtime if it can run the model, else torch on "
    "the CPU",
]
DeviceOption: TypeAlias = Annotated[
    str,
    Matching(r"auto|cpu|mps|cuda(:\d+)?", "one of auto, cpu, cuda, cuda:1 (or another number), mps"),
    "where it runs",
]
DtypeOption: TypeAlias = Annotated[
    Dtype, "the numbers, others than float32 with torch only; an index made with float32 refuses them"
]
BatchTokens: TypeAlias = Annotated[
    int | None, AtLeast(1), "padded tokens of a batch; without it 1024, or 16384 on an accelerator"
]
Threads: TypeAlias = Annotated[
    int | None, Between(1, MAX_THREADS), "on the CPU; without it `OMP_NUM_THREADS`, else all processors"
]

_CPU_TOKENS, _ACCELERATOR_TOKENS = 1024, 16384


@dataclass(frozen=True, slots=True)
class Engine:
    """What runs a model and where, as a trace shows it: "onnx on cpu"."""

    backend: Backend
    device: str

    def __str__(self) -> str:
        return f"{self.backend} on {self.device}"

    @property
    def batch_tokens(self) -> int:
        """How many padded tokens a batch best has there."""
        return _CPU_TOKENS if self.device == "cpu" else _ACCELERATOR_TOKENS


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of a component that say where its models run. Raises ValueError for some that cannot go together."""

    backend: BackendChoice = "auto"
    device: str = "auto"
    dtype: Dtype = "float32"
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.backend == "onnx" and self.device not in ("auto", "cpu"):
            raise ValueError(
                f'backend "onnx" runs on the cpu, got device {self.device!r}: use backend "torch" or "auto"'
            )
        if self.backend == "onnx" and self.dtype != "float32":
            raise ValueError(
                f'backend "onnx" computes in float32, got dtype {self.dtype!r}: use backend "torch" or "auto"'
            )


def engine_of(model: Model, wanted: Wanted) -> Engine:
    """Where the model runs: as the options say; `auto` is torch on an accelerator if there is one, else ONNX Runtime if it
    can run the model, else torch on the CPU. Raises ModelError where torch is needed and absent, or the device is.
    """
    if wanted.backend == "onnx":
        return Engine("onnx", "cpu")
    if wanted.backend == "torch" or wanted.device not in ("auto", "cpu") or wanted.dtype != "float32":
        _require_torch(model)
        return Engine("torch", _checked(model, wanted.device) or accelerator() or "cpu")
    found = accelerator() if wanted.device == "auto" else None
    if found and _has_weights(model):
        return Engine("torch", found)
    if checkpoint_of(model, "onnx").form == "export":
        return Engine("onnx", "cpu")
    try:
        architecture_of(model.read("config.json"), f"model {model.name}")
    except ModelError:
        if not _has_torch():
            raise
        return Engine("torch", "cpu")
    return Engine("onnx", "cpu")


def load(checkpoint: Checkpoint, head: Head, engine: Engine, wanted: Wanted) -> Runs:
    """The model, ready to run; equal ones are loaded once. Raises ModelError."""
    threads = wanted.threads or default_threads()
    if engine.backend == "onnx":
        graph = graph_of(checkpoint, head)
        gives: Literal["states", "scores"] = "scores" if head == "scores" else "states"
        return shared((graph, threads, gives), lambda: Session(graph, threads, gives))
    from hookrag_transformers.network import Network

    key = (checkpoint.model.folder, checkpoint.weights, checkpoint.config, head, engine.device, wanted.dtype, threads)
    return shared(key, lambda: Network(checkpoint, head, engine.device, wanted.dtype, threads))


def accelerator() -> str | None:
    """The device, cuda or mps, that torch can use here; torch is imported only where the machine shows signs of one."""
    if not _has_torch() or not _signs_of_device():
        return None
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else None


def _signs_of_device() -> bool:
    with suppress(importlib.metadata.PackageNotFoundError):
        if importlib.metadata.version("torch").endswith("+cpu"):
            return False
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if sys.platform == "win32":
        return Path(r"C:\Windows\System32\nvcuda.dll").exists()
    return any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))


def _has_torch() -> bool:
    return find_spec("torch") is not None and find_spec("transformers") is not None


def _has_weights(model: Model) -> bool:
    try:
        checkpoint_of(model, "torch")
    except ModelError:
        return False
    return True


def _require_torch(model: Model) -> None:
    if not _has_torch():
        raise ModelError(
            f"model {model.name}: torch and transformers are not installed, which run it here: "
            "pip install 'hookrag-transformers[torch]'"
        )


def _checked(model: Model, device: str) -> str | None:
    """The device, if one is named: seen to be there."""
    if device in ("auto", "cpu"):
        return None if device == "auto" else device
    import torch

    if device == "mps":
        there = torch.backends.mps.is_available()
    else:
        there = torch.cuda.device_count() > int(device.partition(":")[2] or 0)
    if not there:
        raise ModelError(
            f'model {model.name}: torch finds no device {device!r} on this machine: use device "auto" or "cpu"'
        )
    return device
