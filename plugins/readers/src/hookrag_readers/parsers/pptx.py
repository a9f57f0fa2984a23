"""PowerPoint files (PresentationML, ECMA-376 part 1, 19): each slide is a page of light Markdown."""

from __future__ import annotations

from hookrag_readers.parsers.archive import Archive
from hookrag_readers.parsers.office import main_part, one, properties, relations
from hookrag_readers.parsers.sink import Metadata, Sink, Task
from hookrag_readers.parsers.xml import Attributes, elements, scan

_TITLES = frozenset({"title", "ctrTitle"})
_FURNITURE = frozenset({"sldNum", "dt", "ftr", "hdr", "sldImg"})


def parse(task: Task, sink: Sink) -> None:
    archive = Archive(task, "a PowerPoint presentation")
    part = main_part(archive, "ppt")
    title, told = properties(archive)
    related = relations(archive, part)
    order = [
        related[attributes["r:id"]].target
        for tag, attributes, _ in elements(archive.blocks(part), part)
        if tag == "sldId" and attributes.get("r:id") in related
    ]
    for number, name in enumerate(order):
        slide = _slide(archive, name)
        sink.text("\f" if number else "")
        sink.text(slide.text().replace("\f", " "))
        title = title or slide.title
    metadata: Metadata = {**told, "pages": len(order)}
    sink.end(title, metadata)


class _Slide:
    """The shapes of a slide in their order, its title first."""

    def __init__(self, *, notes: bool = False) -> None:
        self.title = ""
        self.blocks: list[str] = []
        self.charts: list[str] = []
        self._notes = notes
        self._unseen = 0
        self._place: str | None = None
        self._lines: list[str] = []
        self._pieces: list[str] | None = None
        self._mark = ""
        self._text = False
        self._rows: list[str] | None = None
        self._row: list[str] = []

    def start(self, tag: str, attributes: Attributes) -> None:
        if self._unseen or tag == "Fallback":
            self._unseen += 1
        elif tag in ("sp", "cxnSp", "graphicFrame", "pic"):
            self._place = None
        elif tag == "ph":
            self._place = attributes.get("type", "obj")
        elif tag == "tbl":
            self._rows = []
        elif tag == "tr":
            self._row = []
        elif tag == "p":
            self._pieces = []
            self._mark = "- " if self._place in ("obj", "body") and not self._notes else ""
        elif tag == "pPr":
            level = attributes.get("lvl", "")
            if level.isdigit() and 0 < int(level) < 9:
                self._mark = "  " * int(level) + "- "
        elif tag == "buNone":
            self._mark = ""
        elif tag == "t":
            self._text = True
        elif tag == "br" and self._pieces is not None:
            self._pieces.append("\n" if self._place not in _TITLES else " ")
        elif tag in ("chart", "relIds"):
            self.charts += [name for key in ("r:id", "r:dm") if (name := attributes.get(key))]

    def end(self, tag: str) -> None:
        if self._unseen:
            self._unseen -= 1
        elif tag == "t":
            self._text = False
        elif tag == "p" and self._pieces is not None:
            text = "".join(self._pieces).strip()
            if text:
                self._lines.append(text if self._rows is not None else f"{self._mark}{text}")
            self._pieces = None
        elif tag == "tc":
            self._row.append(" ".join(" ".join(self._lines).split()))
            self._lines = []
        elif tag == "tr" and self._rows is not None:
            if any(self._row):
                self._rows.append(f"| {' | '.join(self._row)} |")
        elif tag == "tbl" and self._rows is not None:
            self._block("\n".join(self._rows))
            self._rows = None
        elif tag in ("sp", "cxnSp"):
            self._shape()

    def data(self, text: str) -> None:
        if self._text and self._pieces is not None and not self._unseen:
            self._pieces.append(text)

    def text(self) -> str:
        return "\n\n".join(([f"# {self.title}"] if self.title else []) + self.blocks)

    def _shape(self) -> None:
        lines, self._lines = self._lines, []
        wanted = self._place == "body" if self._notes else self._place not in _FURNITURE
        if self._place in _TITLES and not self.title:
            self.title = " ".join(" ".join(lines).split())
        elif wanted:
            self._block("\n".join(lines))

    def _block(self, text: str) -> None:
        if text.strip():
            self.blocks.append(text)


def _slide(archive: Archive, name: str) -> _Slide:
    slide = _Slide()
    scan(archive.blocks(name), slide, name)
    related = relations(archive, name)
    for reference in slide.charts:
        if reference in related and related[reference].target in archive:
            text = _drawn(archive, related[reference].target)
            slide.blocks += [text] if text else []
    notes = one(related, "notesSlide")
    if notes in archive:
        said = _Slide(notes=True)
        scan(archive.blocks(notes), said, notes)
        text = said.text()
        slide.blocks += [f"Notes: {text}"] if text else []
    return slide


def _drawn(archive: Archive, name: str) -> str:
    """The words of a chart or of SmartArt, each once, in their order."""
    words = [
        " ".join(text.split())
        for tag, _, text in elements(archive.blocks(name), name)
        if tag in ("t", "v") and not _number(text)
    ]
    return "\n".join(dict.fromkeys(word for word in words if word))


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
