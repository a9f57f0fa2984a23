"""Word documents (WordprocessingML, ECMA-376 part 1, 17) as light Markdown, in one pass over a stream of events."""

from __future__ import annotations

from dataclasses import dataclass, field

from hookrag_readers.parsers.archive import Archive
from hookrag_readers.parsers.numbering import Numbering, Styles
from hookrag_readers.parsers.office import main_part, one, properties, relations
from hookrag_readers.parsers.sink import Sink, Task
from hookrag_readers.parsers.xml import Attributes, scan

_UNSEEN = frozenset({"del", "moveFrom", "Fallback", "instrText", "delText", "sectPr", "pPrChange", "rPrChange"})
_BREAKS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_DEEPEST = 8
_WIDEST_CELL = 500
"""A row with a longer cell lays out the page: its cells are paragraphs."""


def parse(task: Task, sink: Sink) -> None:
    archive = Archive(task, "a Word document")
    part = main_part(archive, "word")
    title, metadata = properties(archive)
    related = relations(archive, part)
    styles = Styles()
    if (name := one(related, "styles")) in archive:
        scan(archive.blocks(name), styles, name)
    numbering = Numbering()
    if (name := one(related, "numbering")) in archive:
        scan(archive.blocks(name), numbering, name)
    notes: dict[str, str] = {}
    for kind in ("footnotes", "endnotes"):
        if (name := one(related, kind)) in archive:
            reader = _Notes(styles, kind[:-1])
            scan(archive.blocks(name), reader, name)
            notes |= {reference: " ".join(" ".join(told).split()) for reference, told in reader.notes.items()}
    body = _Body(styles, numbering, notes, sink)
    scan(archive.blocks(part), body, part)
    sink.end(body.title or title or body.heading, metadata)


@dataclass(slots=True)
class _Paragraph:
    style: str = ""
    outline: int | None = None
    number: str | None = None
    level: int | None = None
    item: bool = False
    pieces: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Table:
    row: list[list[str]] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)


class _Flow:
    """Paragraphs and tables of a part, in order; what is made of them is for `paragraph` and `table`."""

    def __init__(self, styles: Styles) -> None:
        self.styles = styles
        self._unseen = 0
        self._open: list[_Paragraph] = []
        self._tables: list[_Table] = []
        self._text = False
        self._properties = False

    def start(self, tag: str, attributes: Attributes) -> None:
        if self._unseen or tag in _UNSEEN:
            self._unseen += 1
        elif tag == "p":
            self._open.append(_Paragraph())
        elif tag == "pPr":
            self._properties = True
        elif tag == "t":
            self._text = True
        elif tag == "tbl":
            self._tables.append(_Table())
        elif tag == "tr" and self._tables:
            self._tables[-1].row = []
        elif tag == "tc" and self._tables:
            self._tables[-1].row.append([])
        elif self._open:
            self._inside(tag, attributes)

    def _inside(self, tag: str, attributes: Attributes) -> None:
        paragraph = self._open[-1]
        value = attributes.get("val", "")
        if self._properties:
            if tag == "pStyle":
                paragraph.style = value
            elif tag == "numId":
                paragraph.number = value
            elif tag == "ilvl":
                paragraph.level = int(value) if value.isdigit() else 0
            elif tag == "outlineLvl":
                paragraph.outline = int(value) if value.isdigit() else None
        elif tag in _BREAKS:
            paragraph.pieces.append(_BREAKS[tag])
        elif tag == "sym":
            paragraph.pieces.append(_symbol(attributes.get("char", "")))
        elif tag in ("footnoteReference", "endnoteReference"):
            self.reference(paragraph, f"{tag[:-9]} {attributes.get('id', '')}")

    def end(self, tag: str) -> None:
        if self._unseen:
            self._unseen -= 1
        elif tag == "p" and self._open:
            self._paragraph(self._open.pop())
        elif tag == "pPr":
            self._properties = False
        elif tag == "t":
            self._text = False
        elif tag == "tr" and self._tables:
            self._row(self._tables[-1])
        elif tag == "tbl" and self._tables:
            self._table(self._tables.pop())

    def data(self, text: str) -> None:
        if self._text and self._open and not self._unseen:
            self._open[-1].pieces.append(text)

    def reference(self, paragraph: _Paragraph, name: str) -> None:
        """A note is referred to."""

    def block(self, paragraph: _Paragraph) -> str:
        """The text of a paragraph."""
        return "".join(paragraph.pieces).strip()

    def paragraph(self, text: str, paragraph: _Paragraph) -> None:
        """A paragraph outside tables is whole."""

    def table(self, text: str) -> None:
        """A table that lies in no other is whole."""

    def _paragraph(self, paragraph: _Paragraph) -> None:
        text = self.block(paragraph)
        if text and self._tables and self._tables[-1].row:
            self._tables[-1].row[-1].append(text)
            self._tables[-1].row[-1].extend(paragraph.notes)
        elif text:
            self.paragraph(text, paragraph)

    def _row(self, table: _Table) -> None:
        cells = [" ".join(" ".join(cell).split()) for cell in table.row]
        filled = sum(map(bool, cells))
        if filled > 1 and max(map(len, cells)) <= _WIDEST_CELL:
            table.rows.append(f"| {' | '.join(cells)} |\n")
        elif filled:
            table.rows.append("\n" + "\n\n".join("\n\n".join(cell) for cell in table.row if cell) + "\n\n")
        table.row = []

    def _table(self, table: _Table) -> None:
        text = "".join(table.rows).strip("\n")
        if text and self._tables and self._tables[-1].row:
            self._tables[-1].row[-1].append(text)
        elif text:
            self.table(text)


class _Notes(_Flow):
    """The texts of footnotes or endnotes, by "footnote 2"."""

    def __init__(self, styles: Styles, kind: str) -> None:
        super().__init__(styles)
        self.notes: dict[str, list[str]] = {}
        self._kind = kind
        self._id = ""

    def start(self, tag: str, attributes: Attributes) -> None:
        if tag == self._kind and not self._unseen:
            self._id = attributes.get("id", "") if "type" not in attributes else ""
        super().start(tag, attributes)

    def paragraph(self, text: str, paragraph: _Paragraph) -> None:
        if self._id:
            self.notes.setdefault(f"{self._kind} {self._id}", []).append(text)

    def table(self, text: str) -> None:
        self.paragraph(text, _Paragraph())


class _Body(_Flow):
    """Writes the document into the sink."""

    def __init__(self, styles: Styles, numbering: Numbering, notes: dict[str, str], sink: Sink) -> None:
        super().__init__(styles)
        self.title = ""
        self.heading = ""
        self._numbering = numbering
        self._notes = notes
        self._count = 0
        self._sink = sink
        self._before = ""

    def reference(self, paragraph: _Paragraph, name: str) -> None:
        if name in self._notes:
            self._count += 1
            paragraph.pieces.append(f"[{self._count}]")
            paragraph.notes.append(f"[{self._count}] {self._notes[name]}")

    def block(self, paragraph: _Paragraph) -> str:
        text = super().block(paragraph)
        if not text:
            return ""
        style = self.styles.get(paragraph.style)
        number = paragraph.number if paragraph.number is not None else style.number
        level = paragraph.level if paragraph.level is not None else style.level
        label = self._numbering.label(number, level) if number else ""
        outline = paragraph.outline if paragraph.outline is not None else style.outline
        if style.title or (outline is not None and outline < 9):
            line = " ".join(f"{label} {text}".split())
            if style.title:
                self.title = self.title or line
            self.heading = self.heading or line
            return line if self._tables else f"{'#' * (1 if style.title else min(outline or 0, 5) + 1)} {line}"
        if label:
            paragraph.item = True
            return f"{'  ' * min(level, _DEEPEST)}{label} {text}"
        return text

    def paragraph(self, text: str, paragraph: _Paragraph) -> None:
        self._write(text, item=paragraph.item)
        for note in paragraph.notes:
            self._write(note)

    def table(self, text: str) -> None:
        self._write(text)

    def _write(self, text: str, *, item: bool = False) -> None:
        if self._before:
            self._sink.text("\n" if item and self._before == "item" else "\n\n")
        self._sink.text(text)
        self._before = "item" if item else "text"


def _symbol(code: str) -> str:
    """The character of a symbol font, "" for those that only their font knows."""
    try:
        char = chr(int(code, 16))
    except (ValueError, OverflowError):
        return ""
    return "" if "\ue000" <= char <= "\uf8ff" else char
