"""The files of a model that are read: which weights, in which form, and the sha256 of all of them.

Weights are used in this order: `model.safetensors` or its shards, and an ONNX file with dynamically quantised weights
(`onnx/model.onnx`, `model.onnx`), which are made float32 again. A float32 ONNX file is run as it is.

Why quantised files are not run as they are: dynamic quantisation takes the range of the activations from the whole batch,
so that a text's result depends on its neighbours, and where integers saturate depends on the processor. Run one text at a
time they are faster and less exact. Measured with ms-marco-MiniLM-L-12-v2 on 200 pairs of SciFact (25 queries, 362 tokens a
pair, one thread without VNNI): 8.7 pairs a CPU second against 4.7 in float32, the same MRR (.848), scores off by .18 in the
mean and .83 at most, Kendall's tau .949 within a query. Float32 is the default because it is the reference's arithmetic.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from hookrag_transformers.architecture import Floats, architecture_of, decided_by
from hookrag_transformers.files import replace_file, sha256_of
from hookrag_transformers.models import EXPORTS, Model, ModelError, models_folder
from hookrag_transformers.weights import dequantised, is_quantised, read_safetensors

Backend = Literal["onnx", "torch"]
Form = Literal["safetensors", "quantised", "export"]
_INDEX = "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The weights of a model that one backend reads: the files, what they hold, their sha256, and that of what config.json
    decides beside them ("" for an export, which has that in itself).
    """

    model: Model
    files: tuple[Path, ...]
    form: Form
    weights: str
    config: str


def checkpoint_of(model: Model, backend: Backend) -> Checkpoint:
    """The weights that the backend reads. Raises ModelError where there are none that it can use."""
    found = list(_forms(model))
    if not found:
        raise ModelError(
            f"model {model.name}: {model.folder} has none of model.safetensors, {', '.join(EXPORTS)}; "
            "weights in pickles (pytorch_model.bin) are not read: save the model as safetensors"
        )
    form, files = found[0]
    if backend == "onnx" and form() != "export" and not _is_built(model):
        # Weights of a family that cannot be built here stand behind a ready graph.
        form, files = next((one for one in found if one[0]() == "export"), found[0])
    if backend == "torch" and form() == "export":
        raise ModelError(
            f"model {model.name}: {model.folder} has its weights in {files[0].name} only, which torch does not run: "
            'save the model as safetensors, or use backend = "onnx"'
        )
    config = "" if form() == "export" else decided_by(model.read("config.json"))
    return Checkpoint(model, files, form(), digest_of(model, files), config)


def tensors_of(checkpoint: Checkpoint) -> dict[str, Floats]:
    """The float32 weights by the names that they have in their file."""
    if checkpoint.form == "quantised":
        return dequantised(_onnx_graph(checkpoint.files[0], external=True))
    tensors: dict[str, Floats] = {}
    for file in checkpoint.files:
        tensors.update(read_safetensors(file))
    return tensors


def tokenizer_of(model: Model) -> Path:
    """The file of the model's tokenizer. Raises ModelError where there is none."""
    path = model.folder / "tokenizer.json"
    if not path.is_file():
        raise ModelError(
            f"model {model.name}: {model.folder} has no tokenizer.json: save the model with a fast tokenizer"
        )
    return path


def digest_of(model: Model, files: Sequence[Path]) -> str:
    """The sha256 of a file, or of the list of several files' sha256; each is computed once and remembered."""
    digests = [str(_remembered(model, file, "sha256", sha256_of)) for file in files]
    return digests[0] if len(digests) == 1 else sha256("\n".join(digests).encode()).hexdigest()


def kept_folder(model: Model) -> Path:
    """`.hookrag` in the model's folder, or where that cannot be written one in the models folder."""
    beside = model.folder / ".hookrag"
    if not model.borrowed:
        with suppress(OSError):
            beside.mkdir(exist_ok=True)
            if os.access(beside, os.W_OK):
                return beside
    elsewhere = models_folder() / ".graphs" / sha256(str(model.folder).encode()).hexdigest()[:16]
    try:
        elsewhere.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelError(
            f"model {model.name}: what is made of it can be written neither to {beside} nor to {elsewhere} ({error.strerror}): "
            "set HOOKRAG_MODELS to a folder that can be written"
        ) from error
    return elsewhere


def _forms(model: Model) -> Iterator[tuple[Callable[[], Form], tuple[Path, ...]]]:
    """The files of each form that there is, the preferred one first; the form is found out when it is asked for."""
    whole = model.folder / "model.safetensors"
    if whole.is_file():
        yield lambda: "safetensors", (whole,)
    elif (model.folder / _INDEX).is_file():
        told = model.read(_INDEX).get("weight_map")
        if not isinstance(told, dict) or not told:
            raise ModelError(f"model {model.name}: {_INDEX} has no weight_map: fetch or copy the model again")
        shards = tuple(model.folder / str(name) for name in sorted(set(told.values())))
        missing = [shard.name for shard in shards if not shard.is_file()]
        if missing:
            raise ModelError(
                f"model {model.name}: {model.folder} lacks {', '.join(missing)}, which {_INDEX} names: "
                "fetch or copy the model again"
            )
        yield lambda: "safetensors", shards
    for name in EXPORTS:
        path = model.folder / name
        if path.is_file():
            data = sorted(path.parent.glob(f"{path.name}_data*"))  # what is too large for one file
            yield partial(_form_of, model, path), (path, *data)


def _form_of(model: Model, export: Path) -> Form:
    return "quantised" if _remembered(model, export, "quantised", _is_quantised_file) else "export"


def _is_built(model: Model) -> bool:
    try:
        architecture_of(model.read("config.json"), "")
    except ModelError:
        return False
    return True


def _is_quantised_file(path: Path) -> bool:
    return is_quantised(_onnx_graph(path, external=False))


def _onnx_graph(path: Path, *, external: bool) -> Any:
    import onnx

    try:
        return onnx.load(path, load_external_data=external).graph
    except Exception as error:
        raise ModelError(
            f"{path} is cut off or not an ONNX file ({type(error).__name__}: {error}): fetch or copy the model again"
        ) from error


def _remembered(model: Model, path: Path, fact: str, find: Callable[[Path], str | bool]) -> str | bool:
    """A fact of a file, found out once for each (path, size, time of change)."""
    status = path.stat()
    state: dict[str, Any] = {"path": str(path), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    record = kept_folder(model) / f"{'--'.join(path.relative_to(model.folder).parts)}.{fact}.json"
    with suppress(OSError, ValueError, KeyError):
        known = json.loads(record.read_text(encoding="utf-8"))
        if {key: known.get(key) for key in state} == state:
            value: str | bool = known[fact]
            return value
    found = find(path)
    replace_file(record, [json.dumps({**state, fact: found}).encode()])
    return found
