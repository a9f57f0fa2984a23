"""Styles and automatic numbers of Word documents: what is shown before a paragraph without being written in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hookrag_readers.parsers.xml import Attributes

_ROMAN = (
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"), (9, "IX"),
    (5, "V"), (4, "IV"), (1, "I"),
)  # fmt: skip
_HEADING = re.compile(r"heading ([1-9])$")


@dataclass(slots=True)
class Style:
    """`outline` is the level of a heading from 0; `number` and `level` say which list its paragraphs are items of."""

    name: str = ""
    based: str = ""
    outline: int | None = None
    number: str | None = None
    level: int = 0
    title: bool = False


class Styles:
    """The paragraph styles, read from styles.xml; `get` follows what they are based on."""

    def __init__(self) -> None:
        self._raw: dict[str, Style] = {}
        self._resolved: dict[str, Style] = {}
        self._current = Style()

    def start(self, tag: str, attributes: Attributes) -> None:
        value = attributes.get("val", "")
        style = self._current
        if tag == "style":
            self._current = self._raw[attributes.get("styleId", "")] = Style()
        elif tag == "name":
            style.name = value.lower()
            style.title = style.name == "title"
            if (found := _HEADING.match(style.name)) is not None:
                style.outline = int(found[1]) - 1
        elif tag == "basedOn":
            style.based = value
        elif tag == "outlineLvl" and value.isdigit():
            style.outline = int(value)
        elif tag == "numId":
            style.number = value
        elif tag == "ilvl" and value.isdigit():
            style.level = int(value)

    def end(self, tag: str) -> None:
        if tag == "style":
            self._current = Style()

    def data(self, text: str) -> None:
        """Styles have no text."""

    def get(self, name: str) -> Style:
        if name in self._resolved:
            return self._resolved[name]
        found = Style(title=name in self._raw and self._raw[name].title)
        base = name
        seen: set[str] = set()
        while base in self._raw and base not in seen:
            seen.add(base)
            raw = self._raw[base]
            found.outline = raw.outline if found.outline is None else found.outline
            if found.number is None and raw.number is not None:
                found.number, found.level = raw.number, raw.level
            base = raw.based
        self._resolved[name] = found
        return found


@dataclass(slots=True)
class _Level:
    format: str = "decimal"
    text: str = ""
    start: int = 1


@dataclass(slots=True)
class _List:
    levels: dict[int, _Level] = field(default_factory=dict)


class Numbering:
    """The lists, read from numbering.xml; `label` counts."""

    def __init__(self) -> None:
        self._abstract: dict[str, _List] = {}
        self._lists: dict[str, str] = {}
        self._starts: dict[tuple[str, int], int] = {}
        self._counts: dict[str, dict[int, int]] = {}
        self._begun: set[str] = set()
        self._list = _List()
        self._level = _Level()
        self._number = ""
        self._override = 0

    def start(self, tag: str, attributes: Attributes) -> None:
        value = attributes.get("val", "")
        if tag == "abstractNum":
            self._list = self._abstract[attributes.get("abstractNumId", "")] = _List()
        elif tag == "lvl":
            self._level = _Level()
            if not self._number:
                self._list.levels[_int(attributes.get("ilvl", ""), 0)] = self._level
        elif tag == "numFmt":
            self._level.format = value
        elif tag == "lvlText":
            self._level.text = value
        elif tag == "start":
            self._level.start = _int(value, 1)
        elif tag == "num":
            self._number = attributes.get("numId", "")
        elif tag == "abstractNumId":
            self._lists[self._number] = value
        elif tag == "lvlOverride":
            self._override = _int(attributes.get("ilvl", ""), 0)
        elif tag == "startOverride":
            self._starts[self._number, self._override] = _int(value, 1)

    def end(self, tag: str) -> None:
        if tag == "num":
            self._number = ""

    def data(self, text: str) -> None:
        """Numbers have no text."""

    def label(self, number: str, level: int) -> str:
        """What stands before the next item of a list: "- ", "2.1" or "b)"; "" where paragraphs are no items."""
        if number == "0":
            return ""
        name = self._lists.get(number, "")
        levels = self._abstract[name].levels if name in self._abstract else {}
        here = levels.get(level)
        if here is None or here.format in ("bullet", "none") or "%" not in here.text:
            return "" if here is not None and here.format == "none" else "-"
        counts = self._counts.setdefault(name, {})
        if number not in self._begun:
            self._begun.add(number)
            for one in range(9):
                if (number, one) in self._starts:
                    counts[one] = self._starts[number, one] - 1
        counts[level] = counts.get(level, here.start - 1) + 1
        for deeper in [one for one in counts if one > level]:
            del counts[deeper]

        def shown(found: re.Match[str]) -> str:
            one = int(found[1]) - 1
            of = levels.get(one, _Level())
            return _written(counts.get(one, of.start), of.format)

        return re.sub(r"%([1-9])", shown, here.text).strip()


def _int(text: str, default: int) -> int:
    return int(text) if text.isdigit() and len(text) < 9 else default


def _written(number: int, form: str) -> str:
    """
    >>> [_written(4, form) for form in ("decimal", "lowerLetter", "upperRoman", "decimalZero", "ordinal")]
    ['4', 'd', 'IV', '04', '4']
    """
    if form in ("lowerLetter", "upperLetter") and 0 < number < 1000:
        letters = "abcdefghijklmnopqrstuvwxyz"[(number - 1) % 26] * ((number - 1) // 26 + 1)
        return letters.upper() if form == "upperLetter" else letters
    if form in ("lowerRoman", "upperRoman") and 0 < number < 4000:
        return _roman(number) if form == "upperRoman" else _roman(number).lower()
    return f"{number:02}" if form == "decimalZero" else str(number)


def _roman(number: int) -> str:
    text = ""
    for value, letters in _ROMAN:
        text += letters * (number // value)
        number %= value
    return text
