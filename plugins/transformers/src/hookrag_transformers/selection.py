"""Which files of a repository at Hugging Face a model needs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from hookrag_transformers.files import json_of
from hookrag_transformers.models import EXPORTS, MANIFEST, HubName, ModelError

TABLES = ("modules.json", "router_config.json")
"""What says which folders of a repository belong to the model; there may be others, of checkpoints and other formats."""

_TEXT = (".json", ".txt")


def may_be_kept(file: str) -> bool:
    """Whether a file of the repository may have a place in the model's folder; no model has a name with a backslash."""
    path = PurePosixPath(file)
    outside = path.is_absolute() or any(part.startswith(".") for part in path.parts) or "\\" in file
    return not outside and file != MANIFEST


def wanted(name: HubName, files: Collection[str], tables: Path) -> list[str]:
    """Settings, tokenizer and licence, and the weights of each module that has any; never a pickle.

    `tables` is a folder with those of the repository's TABLES that it has. Raises ModelError where something is lacking.
    """
    modules = _modules(name, tables)
    own = [path for path in files if path.rpartition("/")[0] in {"", *modules}]
    texts = [path for path in own if path.endswith(_TEXT) or path.upper().startswith(("LICENSE", "NOTICE"))]
    weights: list[str] = []
    for folder, kind in modules.items():
        if kind in ("Transformer", "Dense"):
            weights += _weights(name, files, f"{folder}/" if folder else "", EXPORTS if kind == "Transformer" else ())
    weights = weights or _weights(name, files, "", EXPORTS)
    if not any(path.rpartition("/")[2] == "tokenizer.json" for path in own):
        raise ModelError(f"model {name}: the repository has no tokenizer.json: choose a model with a fast tokenizer")
    return [*texts, *weights]


def _weights(name: HubName, files: Collection[str], inside: str, exports: Sequence[str]) -> list[str]:
    """The safetensors in a folder, else a float32 export for ONNX where one will do. Raises ModelError where there is none."""
    weights = [path for path in files if path.startswith(inside) and _is_weights(path.removeprefix(inside))]
    if not weights:
        export = next((inside + path for path in exports if inside + path in files), None)
        weights = [path for path in files if export and (path == export or path.startswith(f"{export}_data"))]
    if not weights:
        pickles = sorted(
            path
            for path in files
            if path.startswith(inside) and path.endswith((".bin", ".pt", ".pth", ".ckpt", ".pkl"))
        )
        sought = " and no ".join(inside + path for path in ("model.safetensors", *exports[:1]))
        raise ModelError(
            f"model {name}: the repository has no {sought}"
            + (
                f", but {', '.join(pickles[:3])}, which can run code when they are read: a conversion may lie in one of its "
                f"pull requests ({name.id}@refs/pr/1)"
                if pickles
                else ": it is not a model of this kind"
            )
        )
    return weights


def _is_weights(name: str) -> bool:
    """model.safetensors or one of its shards; not a copy with another number of bits."""
    stem, _, suffix = name.partition(".")
    return suffix == "safetensors" and (stem == "model" or stem.startswith("model-"))


def _modules(name: HubName, folder: Path) -> dict[str, str]:
    """The kind of the module in each folder of the model, by the files that were downloaded; "" is the repository's own."""
    read: dict[str, Any] = {}
    for table in TABLES:
        if (folder / table).is_file():
            try:
                read[table] = json_of(folder / table)
            except ValueError as error:
                raise ModelError(
                    f"model {name}: {table} in its repository {error}: choose another revision or another model"
                ) from error
    kinds = {str(one.get("path", "")): str(one.get("type", "")) for one in read.get("modules.json", [])}
    types = read.get("router_config.json", {}).get("types")
    kinds |= types if isinstance(types, dict) else {}
    return {path: str(kind).rpartition(".")[2] for path, kind in kinds.items()} or {"": "Transformer"}
