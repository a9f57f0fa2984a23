"""Files: their sha256, and writing them whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hookrag.disk.durable import replacing


def sha256_of(path: Path) -> str:
    """The sha256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_of(path: Path) -> Any:
    """The value of a JSON file of settings: a list of objects for modules.json, an object for any other.

    Raises ValueError, which says what the file is not.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"is not JSON ({error})") from error
    listed = path.name == "modules.json"
    if listed and not (isinstance(value, list) and all(isinstance(one, dict) for one in value)):
        raise ValueError("is not a list of objects")
    if not listed and not isinstance(value, dict):
        raise ValueError("is not an object")
    return value


def replace_file(path: Path, pieces: Sequence[bytes]) -> None:
    """Write a file durably, so that others see it whole or not at all, also when two processes write it at once."""
    with replacing(path, shared=True) as part, part.open("xb") as file:
        file.writelines(pieces)
