"""What came with a fetched model: a manifest in its folder, by which it is seen to be whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hookrag_transformers.files import json_of, sha256_of
from hookrag_transformers.models import MANIFEST, ModelError


def manifest_of(folder: Path) -> Mapping[str, Any]:
    """The manifest of a fetched model; {} for a folder that has none. Raises ModelError for what is no manifest."""
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        manifest: Mapping[str, Any] = json_of(path)
        if not isinstance(manifest.get("files"), dict):
            raise ValueError("has no table of files")
    except ValueError as error:
        raise ModelError(f"{path} {error}: remove {folder} and fetch the model again") from error
    return manifest


def damaged(folder: Path) -> list[str]:
    """The files of a fetched model that are gone or are not what came, by its manifest's sha256."""
    return differing(folder, manifest_of(folder).get("files", {}))


def differing(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Those of the files that the folder has not, or not with that sha256."""
    return [
        file for file, digest in files.items() if not (folder / file).is_file() or sha256_of(folder / file) != digest
    ]
