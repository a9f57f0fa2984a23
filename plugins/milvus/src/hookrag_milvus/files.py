"""What can be seen to be wrong with the files of an embedded database, before the engine opens them.

Milvus Lite 3 opens a collection whose files are missing with the rows that are left, and where its list of files is damaged it
goes back to the list before and deletes the files that are not on it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FORMAT = 2
_END = b"PAR1"  # the last four bytes of a Parquet file


def problem(database: Path) -> str:
    """What is wrong with the first file that is damaged or missing, "" where nothing is seen."""
    for folder in sorted((database / "collections").glob("*/")):
        for found in _problems(folder):
            return found
    return ""


def tidy(database: Path) -> None:
    """Remove the empty folder of a collection whose maker died: the engine could not make that collection ever again."""
    for folder in (database / "collections").glob("*/"):
        if {file.name for file in folder.iterdir()} <= {"schema.json.tmp"}:
            shutil.rmtree(folder)


def _problems(collection: Path) -> Iterator[str]:
    lists = collection / "manifest.json"
    if not lists.exists():
        if any(collection.glob("partitions/*/data/*")):
            yield f"{lists} is missing"
        return
    for file in (lists, collection / "schema.json"):
        try:
            content = json.loads(file.read_bytes())
        except FileNotFoundError:
            yield f"{file} is missing"
        except (OSError, ValueError) as error:
            yield f"{file} is damaged: {error}"
        else:
            if file == lists and isinstance(content, dict) and content.get("manifest_format_version") == _FORMAT:
                yield from _listed(collection, content)


def _listed(collection: Path, lists: dict[str, Any]) -> Iterator[str]:
    for partition, named in lists.get("partitions", {}).items():
        for name in [*named.get("data_files", []), *named.get("delta_files", [])]:
            file = collection / "partitions" / partition / name
            try:
                with open(file, "rb") as content:
                    content.seek(-len(_END), 2)
                    end = content.read()
            except FileNotFoundError:
                yield f"{file} is missing"
            except OSError:
                yield f"{file} is damaged: it is too short"
            else:
                if end != _END:
                    yield f"{file} is damaged: its end is missing"
