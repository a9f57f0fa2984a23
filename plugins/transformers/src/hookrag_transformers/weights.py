"""Reading weights as float32 arrays, from safetensors or out of ONNX files with dynamically quantised weights; no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hookrag_transformers.models import ModelError

Floats = NDArray[np.float32]


def read_safetensors(path: Path) -> dict[str, Floats]:
    """The tensors of a safetensors file by name; F32 is mapped from the file, F16 and BF16 are widened, integers left out.

    The format: 8 bytes of little-endian header length, a JSON header {name: {dtype, shape, data_offsets}}, then the data.
    """
    size = path.stat().st_size
    data = np.memmap(path, np.uint8, "r") if size else np.empty(0, np.uint8)
    length = int.from_bytes(data[:8].tobytes(), "little")
    if size < 8 or length > size - 8:
        raise ModelError(f"{path} is cut off or not a safetensors file: fetch or copy the model again")
    try:
        return _tensors(path, json.loads(data[8 : 8 + length].tobytes()), data[8 + length :])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path} has a header that is damaged ({type(error).__name__}: {error}): fetch or copy the model again"
        ) from error


def _tensors(path: Path, header: Mapping[str, Any], data: NDArray[np.uint8]) -> dict[str, Floats]:
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = entry["data_offsets"]
        raw = data[start:end]
        if raw.nbytes != end - start:
            raise ModelError(f"{path} ends inside the tensor {name!r}: fetch or copy the model again")
        if entry["dtype"] in ("F32", "F16", "BF16"):
            tensors[name] = _widened(raw, entry["dtype"]).reshape(entry["shape"])
    return tensors


def _widened(raw: NDArray[np.uint8], dtype: str) -> Floats:
    if dtype == "F32":
        return raw.view(np.float32)
    if dtype == "F16":
        return raw.view(np.float16).astype(np.float32)
    return (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def is_quantised(graph: Any) -> bool:
    """Whether an ONNX graph computes with integers whose scale is taken from the whole batch."""
    return any(node.op_type in ("DynamicQuantizeLinear", "MatMulInteger") for node in graph.node)


def dequantised(graph: Any) -> dict[str, Floats]:
    """The float32 weights behind an ONNX graph that onnxruntime's dynamic quantisation made, named as transformers does.

    weight = (quantised - zero point) * scale, per tensor or per output channel. The names of matrices are lost in such a file
    and are taken from the bias that is added to their product.
    """
    from onnx import numpy_helper

    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    consumers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    weights = {
        name: value
        for name, value in constants.items()
        if value.dtype == np.float32 and name.endswith((".weight", ".bias")) and not name.startswith("onnx::")
    }
    for name in constants:
        if name.endswith("embeddings.weight_quantized"):
            weights[name.removesuffix("_quantized")] = _real(constants, name)
    for node in graph.node:
        if node.op_type == "MatMulInteger" and node.input[1] in constants:
            weights[_bias_after(node, consumers, constants).removesuffix("bias") + "weight"] = _real(
                constants, node.input[1]
            ).T
    return weights


def _real(constants: Mapping[str, NDArray[Any]], name: str) -> Floats:
    stem = name.removesuffix("_quantized")
    scale = constants[f"{stem}_scale"].astype(np.float32)
    zero = constants[f"{stem}_zero_point"].astype(np.float32)
    return np.asarray((constants[name].astype(np.float32) - zero) * scale, dtype=np.float32)


def _bias_after(node: Any, consumers: Mapping[str, list[Any]], constants: Mapping[str, NDArray[Any]]) -> str:
    """The name of the bias that is added to a product, after the multiplications that give it its scale."""
    output = node.output[0]
    while followers := consumers.get(output):
        follower = followers[0]
        if follower.op_type == "Add":
            for name in follower.input:
                if name in constants and name.endswith("bias"):
                    return str(name)
            break
        if follower.op_type not in ("Cast", "Mul", "Reshape"):
            break
        output = follower.output[0]
    raise ModelError(f"the quantised product {node.name!r} has no bias after it, so that its weights cannot be named")
