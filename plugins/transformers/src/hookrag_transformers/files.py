"""Files: their sha256, and writing them whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkstemp
from typing import Any


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
    """Write a file so that others see it whole or not at all, also when two processes write it at once."""
    handle, temporary = mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(pieces)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
