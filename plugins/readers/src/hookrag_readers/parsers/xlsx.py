"""Excel workbooks (SpreadsheetML, ECMA-376 part 1, 18): one document a sheet, each row as lines of "header: value"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hookrag_readers.parsers.archive import Archive
from hookrag_readers.parsers.numbers import GENERAL, Format, built_in, shown
from hookrag_readers.parsers.numbers import parse as parsed
from hookrag_readers.parsers.office import main_part, one, properties, relations
from hookrag_readers.parsers.sink import RefusedError, Sink, Task, Value
from hookrag_readers.parsers.xml import Attributes, elements, scan

_CELL = re.compile(r"([A-Z]{1,3})[0-9]+$")
_LONGEST_HEADER = 200


def parse(task: Task, sink: Sink) -> None:
    archive = Archive(task, "an Excel workbook")
    part = main_part(archive, "xl")
    if part.endswith(".bin"):
        raise RefusedError("is a binary workbook: expected an Excel workbook of XML parts; save it as .xlsx")
    title, told = properties(archive)
    related = relations(archive, part)
    book = elements(archive.blocks(part), part)
    since_1904 = any(tag == "workbookPr" and has.get("date1904") in ("1", "true") for tag, has, _ in book)
    strings = _Strings()
    if (name := one(related, "sharedStrings")) in archive:
        scan(archive.blocks(name), strings, name)
    formats = _Formats()
    if (name := one(related, "styles")) in archive:
        scan(archive.blocks(name), formats, name)
    used: set[str] = set()
    for tag, has, _ in book:
        relation = related.get(has.get("r:id", ""))
        if tag != "sheet" or relation is None or relation.kind != "worksheet" or relation.target not in archive:
            continue
        sheet = has.get("name", "")
        while sheet in used:
            sheet += "'"
        used.add(sheet)
        rows = _Rows(strings.found, formats.found, since_1904, sink)
        scan(archive.blocks(relation.target), rows, relation.target)
        if not rows.written:
            continue
        metadata: dict[str, Value] = {**told, "sheet": sheet}
        if has.get("state", "visible") != "visible":
            metadata["hidden"] = True
        if rows.unknown:
            metadata["formulas_without_value"] = rows.unknown
        sink.end(f"{title}: {sheet}" if title else sheet, metadata, f"#{sheet}")


class _Strings:
    """The shared strings, without their phonetic readings."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._pieces: list[str] = []
        self._text = self._phonetic = False

    def start(self, tag: str, attributes: Attributes) -> None:
        if tag == "t":
            self._text = True
        elif tag == "rPh":
            self._phonetic = True

    def end(self, tag: str) -> None:
        if tag == "t":
            self._text = False
        elif tag == "rPh":
            self._phonetic = False
        elif tag == "si":
            self.found.append("".join(self._pieces))
            self._pieces.clear()

    def data(self, text: str) -> None:
        if self._text and not self._phonetic:
            self._pieces.append(text)


class _Formats:
    """The number formats of the cells' styles, by their places."""

    def __init__(self) -> None:
        self.found: list[Format] = []
        self._codes: dict[str, str] = {}
        self._made: dict[str, Format] = {}
        self._cells = False

    def start(self, tag: str, attributes: Attributes) -> None:
        if tag == "numFmt":
            self._codes[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")
        elif tag == "cellXfs":
            self._cells = True
        elif tag == "xf" and self._cells:
            number = attributes.get("numFmtId", "0")
            if number not in self._made:
                code = self._codes.get(number) or built_in(int(number) if number.isdigit() else 0)
                self._made[number] = parsed(code) if code else GENERAL
            self.found.append(self._made[number])

    def end(self, tag: str) -> None:
        if tag == "cellXfs":
            self._cells = False

    def data(self, text: str) -> None:
        """Styles have no text."""


@dataclass(slots=True)
class _Cell:
    column: int
    kind: str
    style: str
    formula: bool = False


class _Rows:
    """Writes the rows of a sheet into the sink."""

    def __init__(self, strings: list[str], formats: list[Format], since_1904: bool, sink: Sink) -> None:
        self.written = False
        self.unknown = 0
        self._strings = strings
        self._formats = formats
        self._since_1904 = since_1904
        self._sink = sink
        self._header: dict[int, str] | None = None
        self._row: dict[int, tuple[str, bool]] = {}
        self._next = 0
        self._cell: _Cell | None = None
        self._pieces: list[str] = []
        self._inside = ""

    def start(self, tag: str, attributes: Attributes) -> None:
        if tag == "row":
            self._row = {}
            self._next = 0
        elif tag == "c":
            found = _CELL.match(attributes.get("r", ""))
            column = _number(found[1]) if found else self._next
            self._next = column + 1
            self._cell = _Cell(column, attributes.get("t", "n"), attributes.get("s", ""))
            self._pieces = []
        elif self._cell is not None:
            if tag == "f":
                self._cell.formula = True
            self._inside = tag if tag in ("v", "t", "rPh") and self._inside != "rPh" else self._inside

    def end(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""
        elif tag == "c" and self._cell is not None:
            text = "".join(self._pieces)
            value, label = self._value(self._cell, text)
            if value.strip():
                self._row[self._cell.column] = (value.strip(), label)
            elif self._cell.formula and not text and self._cell.kind != "str":
                self.unknown += 1
            self._cell = None
        elif tag == "row" and self._row:
            self._take(self._row)

    def data(self, text: str) -> None:
        if self._inside in ("v", "t"):
            self._pieces.append(text)

    def _value(self, cell: _Cell, text: str) -> tuple[str, bool]:
        """What is seen in a cell, and whether it could be a column's header: text, a year or a date."""
        if cell.kind == "s":
            place = int(text) if text.isdigit() and len(text) < 9 else len(self._strings)
            if text and place >= len(self._strings):
                raise RefusedError(f"is damaged: a cell refers to the text {text}, of {len(self._strings)}")
            return (self._strings[place] if text else ""), True
        if cell.kind == "b":
            return {"1": "TRUE", "0": "FALSE"}.get(text, text), False
        if cell.kind == "d":
            return text.replace("T00:00:00", "").replace("T", " "), True
        if cell.kind != "n":
            return text, cell.kind != "e"
        try:
            number = float(text)
        except ValueError:
            return text, True
        place = int(cell.style) if cell.style.isdigit() and len(cell.style) < 9 else 0
        form = self._formats[place] if place < len(self._formats) else GENERAL
        if number in (float("inf"), float("-inf")) or number != number:
            return text, False
        label = form.kind == "date" or (number == int(number) and 1900 <= number <= 2100)
        return shown(number, form, since_1904=self._since_1904), label

    def _take(self, row: dict[int, tuple[str, bool]]) -> None:
        if self._header is None and len(row) > 1:
            self._header = {}
            if all(label and len(value) <= _LONGEST_HEADER for value, label in row.values()):
                self._header = {column: " ".join(value.split()) for column, (value, _) in row.items()}
                return
        if self._header is None:  # a title above the table
            lines = [value for value, _ in row.values()]
        else:
            lines = [f"{self._header.get(at) or letters(at)}: {value}" for at, (value, _) in sorted(row.items())]
        self._write("\n".join(lines))

    def _write(self, text: str) -> None:
        self._sink.text("\n\n" if self.written else "")
        self._sink.text(text)
        self.written = True


def _number(name: str) -> int:
    value = 0
    for letter in name:
        value = value * 26 + ord(letter) - 64
    return value - 1


def letters(column: int) -> str:
    """The name of a column, from 0.

    >>> letters(0), letters(25), letters(26), letters(16383)
    ('A', 'Z', 'AA', 'XFD')
    """
    text = ""
    while column >= 0:
        text = chr(65 + column % 26) + text
        column = column // 26 - 1
    return text
