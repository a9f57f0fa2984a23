"""The configuration file: TOML read into tables, and the line of every key for the errors."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hookrag.config.signature import Mismatch, convert
from hookrag.errors import ConfigError

NAME = "hookrag.toml"

_HEADER = re.compile(r"^\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(
    r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=(.*)$"""
)
_PIECE = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


@dataclass(frozen=True, slots=True)
class Config:
    """Tables as they were written. `path` is None for a configuration made in Python; paths are relative to `folder`."""

    tables: Mapping[str, Any]
    path: Path | None = None
    folder: Path = field(default_factory=Path.cwd)
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)

    def located(self, *keys: str) -> str:
        """The file and the line, "hookrag.toml:7: ", of the nearest of table and key that the file has; "" without a file."""
        if self.path is None:
            return ""
        for length in range(len(keys), 0, -1):
            line = self.lines.get(keys[:length])
            if line is not None:
                return f"{self.path.name}:{line}: "
        return f"{self.path.name}: "

    @property
    def index_folder(self) -> Path:
        """Where the generations of the index lie: `path` of [index], by default .hookrag beside the file."""
        index = self.tables.get("index", {})
        path = index.get("path", ".hookrag") if isinstance(index, Mapping) else ".hookrag"
        try:
            folder: Path = convert(path, Path, self.folder)
        except Mismatch:  # noted when the [index] table is read
            return self.folder / ".hookrag"
        return folder

    def with_values(self, changes: Mapping[str, Any]) -> Config:
        """The same configuration with "retrievers.bm25.k1"-like keys set to other values."""
        tables = {kind: _copy(table) for kind, table in self.tables.items()}
        for path, value in changes.items():
            keys = path.split(".")
            kind, name, key = keys[0], ".".join(keys[1:-1]), keys[-1]
            if len(keys) == 2:
                kind, name = keys[0], ""
            if len(keys) < 2 or kind not in tables or (name and name not in tables[kind]):
                raise ConfigError(
                    [f'override {path!r}: no such table; write "kind.name.key", as in "retrievers.bm25.k1"']
                )
            table = tables[kind][name] if name else tables[kind]
            if not isinstance(table, dict):
                raise ConfigError([f"override {path!r}: {kind}{f'.{name}' if name else ''} is no table"])
            table[key] = value
        return Config(tables, self.path, self.folder, self.lines)


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, list) else value


def find(start: Path) -> Path:
    """The nearest hookrag.toml in `start` or above it. Raises ConfigError where there is none."""
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / NAME).is_file():
            return folder / NAME
    raise ConfigError([f"no {NAME} in {start} or above it: write one with `hookrag init`, or name a file with -c FILE"])


def load(path: Path) -> Config:
    """Read a file. Raises ConfigError where it cannot be read or is not TOML."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8 (byte {error.start}): save it as UTF-8"]) from error
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax(path, text, str(error))]) from error
    return Config(tables, path, path.resolve().parent, line_numbers(text))


def _syntax(path: Path, text: str, message: str) -> str:
    found = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    if not found:
        return f"{path.name}: is not TOML: {message}"
    line, column = int(found[1]), int(found[2])
    shown = text.split("\n")[line - 1].rstrip("\r")
    return f"{path.name}:{line}: is not TOML: {message[: found.start()]}\n    {shown}\n    {' ' * (column - 1)}^"


def line_numbers(text: str) -> dict[tuple[str, ...], int]:
    """The line of every table header and key, counted from 1; keys inside inline tables have the line of the outer key.

    >>> line_numbers("a = 1\\n[b.c]\\nd = [\\n  2,\\n]\\ne = 3")
    {('a',): 1, ('b', 'c'): 2, ('b', 'c', 'd'): 3, ('b', 'c', 'e'): 6}
    """
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    depth, quote = 0, ""
    for number, line in enumerate(text.split("\n"), 1):  # TOML knows no other end of a line
        rest = line
        if depth == 0 and not quote:
            header, key = _HEADER.match(line), _KEY.match(line)
            if header and not key:
                table = _pieces(header[1])
                found.setdefault(table, number)
                continue
            if key:
                found.setdefault(table + _pieces(key[1]), number)
                rest = key[2]
        depth, quote = _scan(rest, depth, quote)
    return found


def _pieces(dotted: str) -> tuple[str, ...]:
    return tuple(piece.strip("\"'") for piece in _PIECE.findall(dotted))


def _scan(text: str, depth: int, quote: str) -> tuple[int, str]:
    """The depth of brackets and the open triple quote after `text`."""
    i = 0
    while i < len(text):
        if quote:
            if quote[0] == '"' and text[i] == "\\":
                i += 2
            elif text.startswith(quote, i):
                i += len(quote)
                quote = ""
            else:
                i += 1
            continue
        if text[i] == "#":
            break
        if text[i] in "\"'":
            quote = text[i] * 3 if text.startswith(text[i] * 3, i) else text[i]
            i += len(quote)
            continue
        depth += (text[i] in "[{") - (text[i] in "]}")
        i += 1
    return max(depth, 0), quote if len(quote) == 3 else ""
