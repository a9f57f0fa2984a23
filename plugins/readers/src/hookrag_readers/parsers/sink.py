"""What a parser is given and what it gives back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO

Value = str | int | float | bool
Metadata = Mapping[str, Value]

PIECE = 1 << 16
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\ufffe\uffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class RefusedError(Exception):
    """The file cannot be taken. The message says what it is, what was expected and what to do, without naming the file."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may take: characters of text, unpacked bytes of an archive, and how many times its own size that may be."""

    text: int
    unpacked: int
    ratio: int


@dataclass(frozen=True, slots=True)
class Task:
    """One open file. `size` is what it had when it was opened."""

    file: BinaryIO
    size: int
    limits: Limits


class Sink:
    """Takes the text of documents in pieces and hands it on, without control characters; lone surrogates become U+FFFD."""

    def __init__(self, limits: Limits, send: Callable[[bytes, bytes], None]) -> None:
        self._limits = limits
        self._send = send
        self._pieces: list[str] = []
        self._held = 0
        self._taken = 0

    def text(self, piece: str) -> None:
        self._taken += len(piece)
        if self._taken > self._limits.text:
            megabytes = f"{self._limits.text / 2**20:g} MB"
            raise RefusedError(f"holds more than the {megabytes} of text allowed: raise text_mb, or split the file")
        self._pieces.append(piece)
        self._held += len(piece)
        if self._held >= PIECE:
            self._flush()

    def end(self, title: str = "", metadata: Metadata | None = None, suffix: str = "") -> None:
        """The document is whole. `suffix` is what its id has after the id of the file."""
        import json

        self._flush()
        told = {"suffix": clean(suffix), "title": one_line(title), "metadata": dict(metadata or {})}
        self._send(b"D", json.dumps(told).encode("ascii"))

    def _flush(self) -> None:
        text = clean("".join(self._pieces))
        self._pieces.clear()
        self._held = 0
        for start in range(0, len(text), PIECE):
            self._send(b"T", text[start : start + PIECE].encode("utf-8"))


def clean(text: str) -> str:
    """The text without control characters and lone surrogates."""
    text = _SURROGATE.sub("\ufffd", _CONTROL.sub("", text))
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def one_line(text: str, most: int = 300) -> str:
    """A title: one line of at most `most` characters.

    >>> one_line(" A\\n title ")
    'A title'
    """
    text = " ".join(clean(text).split())
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}\u2026"


def iso_date(text: str) -> str:
    """The date in front of an ISO or PDF time, "" where there is none.

    >>> iso_date("2024-03-05T10:00:00Z"), iso_date("D:20240305100000+01'00'"), iso_date("2019"), iso_date("soon")
    ('2024-03-05', '2024-03-05', '2019', '')
    """
    found = re.match(r"\s*(?:D:)?(\d{4})(?:-?(0[1-9]|1[0-2])(?:-?(0[1-9]|[12]\d|3[01]))?)?", text)
    return "-".join(part for part in found.groups() if part) if found else ""
