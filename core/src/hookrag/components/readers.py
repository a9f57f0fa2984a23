"""Readers of plain formats: text, Markdown, JSON lines and tables. UTF-8, or UTF-16 where the file begins with its mark."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO, TypeAlias

from hookrag.errors import ReadError
from hookrag.options import Matching, checked
from hookrag.values import Document

# What opens front matter, what closes it, and how each line in it begins: text between two rules is text.
_FRONT_MATTER = {
    "---": (("---", "..."), re.compile(r"\s|#|- |[\w\"'][^:]*:(?:\s|$)|$")),
    "+++": (("+++",), re.compile(r"\s|#|\[|[\w\"'][^=]*=|[\]}]|$")),
}
_TITLE = re.compile(r"^title[ \t]*[:=][ \t]*(.*?)[ \t]*\r?$", re.MULTILINE)
# A fence may stand anywhere in a list, also behind the mark of an item. Backticks with more behind them are a code span.
_FENCE = re.compile(r"[ \t]*((?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*)(`{3,}(?!.*`)|~{3,})")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")


@contextmanager
def _opened(path: Path, newline: str | None = None) -> Iterator[TextIO]:
    """The file as text; what goes wrong becomes a ReadError that names it."""
    try:
        with path.open("rb") as raw:
            wide = raw.read(2) in (b"\xff\xfe", b"\xfe\xff")
        with path.open(encoding="utf-16" if wide else "utf-8-sig", newline=newline) as file:
            yield file
    except OSError as error:
        raise ReadError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ReadError(
            f"{path}: expected UTF-8, or UTF-16 with a byte order mark, got a byte 0x{error.object[error.start]:02x} "
            f"that is not {error.encoding.upper()}: convert the file"
        ) from error


Suffixes: TypeAlias = Annotated[
    list[Annotated[str, Matching(r"\.[^A-Z]*", 'lower case and begin with a dot (".txt")')]], "the files that it reads"
]


class Text:
    """Reads a file as one document, without a title."""

    version = 1

    @checked
    def __init__(self, *, suffixes: Suffixes = [".txt", ".text"]) -> None:  # noqa: B006  # never changed
        self.suffixes = tuple(suffixes)

    def read(self, path: Path, /, *, id: str) -> Iterator[Document]:
        with _opened(path) as file:
            yield Document(id, file.read())


class Markdown:
    """Reads a Markdown file as one document, titled by `title:` of its front matter or by its first heading.

    Front matter (YAML between ---, TOML between +++) is left out of the text; headings stay in it. Only headings with `#` are
    looked at.
    """

    version = 2

    @checked
    def __init__(self, *, suffixes: Suffixes = [".md", ".markdown"]) -> None:  # noqa: B006  # never changed
        self.suffixes = tuple(suffixes)

    def read(self, path: Path, /, *, id: str) -> Iterator[Document]:
        with _opened(path) as file:
            text = file.read()
        behind = _behind_front_matter(text)
        named = _TITLE.search(text, 0, behind)
        text = text[behind:]
        yield Document(id, text, (_unquoted(named[1]) if named else "") or first_heading(text))


def _behind_front_matter(text: str) -> int:
    """Where the text begins behind its front matter, 0 where it has none."""
    lines = text.splitlines(keepends=True)
    closing, allowed = _FRONT_MATTER.get(lines[0].rstrip() if lines else "", ((), _HEADING))
    end = len(lines[0]) if closing else 0
    for line in lines[1:] if closing else ():
        end += len(line)
        if line.rstrip() in closing:
            return end
        if not allowed.match(line):
            return 0
    return 0


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1] if quoted else text


def first_heading(text: str) -> str:
    """The text of the first `#` heading outside code fences, "" if there is none.

    >>> first_heading("intro\\n```\\n# no\\n```\\n## Yes ##")
    'Yes'
    """
    fence = ""
    for line in text.splitlines():
        mark = _FENCE.match(line)
        if mark is not None:
            if not fence:
                fence = mark[2]
            elif not mark[1] and mark[2].startswith(fence) and not line[mark.end() :].strip():
                fence = ""
        elif not fence and (heading := _HEADING.match(line)):
            return heading[1].strip()
    return ""


class JsonLines:
    """Reads one JSON object a line, as in BEIR's corpus.jsonl.

    `id_field`, `title_field` and `text_field` name the fields that make the document; all others are metadata, and so are the
    fields of the object in `metadata_field`. The id of a document is that of the record as it stands, because judgements
    name it; a record without one is called "path#7" by its line. Empty lines are skipped.
    """

    version = 1

    @checked
    def __init__(
        self,
        *,
        id_field: Annotated[str, "the field with the document's id"] = "_id",
        title_field: Annotated[str, "the field with its title"] = "title",
        text_field: Annotated[str, "the field with its text"] = "text",
        metadata_field: Annotated[
            str, "a field with an object whose fields are metadata, as all others are"
        ] = "metadata",
        suffixes: Suffixes = [".jsonl", ".ndjson"],  # noqa: B006  # never changed
    ) -> None:
        self.id_field = id_field
        self.title_field = title_field
        self.text_field = text_field
        self.metadata_field = metadata_field
        self.suffixes = tuple(suffixes)

    def read(self, path: Path, /, *, id: str) -> Iterator[Document]:
        with _opened(path, newline="\n") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield self._document(path, number, line, id)

    def _document(self, path: Path, number: int, line: str, id: str) -> Document:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ReadError(
                f"{path}:{number}: expected one JSON object on the line, got {_cut(line)}: {error}"
            ) from error
        if not isinstance(record, dict):
            raise ReadError(f"{path}:{number}: expected a JSON object, got {_cut(line)}")
        name = record.pop(self.id_field, f"{id}#{number}")
        if isinstance(name, int) and not isinstance(name, bool):
            name = str(name)
        title = record.pop(self.title_field, None)
        text = record.pop(self.text_field, None)
        for field, value, needed in (
            (self.id_field, name, True),
            (self.title_field, title, False),
            (self.text_field, text, True),
        ):
            if not isinstance(value, str) and (needed or value is not None):
                got = "nothing" if value is None else _cut(json.dumps(value))
                raise ReadError(f"{path}:{number}: expected text in the field {field!r}, got {got}")
        inner = record.pop(self.metadata_field, None)
        if inner is not None and not isinstance(inner, dict):
            raise ReadError(
                f"{path}:{number}: expected an object in the field {self.metadata_field!r}, got {_cut(json.dumps(inner))}"
            )
        return Document(name, text, title or "", {**record, **(inner or {})})


class Csv:
    """Reads a table with a header: one document a row.

    `id_column`, `title_column` and `text_column` name the columns that make the document; the title may be missing, and
    without an id column rows are called "path#2" by their line. All other columns are metadata, as text; empty cells are
    left out. `delimiter` is one character, "tab", or "auto": a tab for .tsv, else a comma.
    """

    version = 1

    @checked
    def __init__(
        self,
        *,
        id_column: Annotated[
            str, "the column with the document's id; without one, rows are called by their line"
        ] = "id",
        title_column: Annotated[str, "the column with its title, which may be missing"] = "title",
        text_column: Annotated[str, "the column with its text"] = "text",
        delimiter: Annotated[
            str,
            Matching(r"[\s\S]|tab|auto", 'one character, "tab" or "auto"'),
            "what parts cells; by itself a tab in .tsv, a comma elsewhere",
        ] = "auto",
        suffixes: Suffixes = [".csv", ".tsv"],  # noqa: B006  # never changed
    ) -> None:
        self.id_column = id_column
        self.title_column = title_column
        self.text_column = text_column
        self.delimiter = delimiter
        self.suffixes = tuple(suffixes)

    def read(self, path: Path, /, *, id: str) -> Iterator[Document]:
        delimiter = "\t" if self.delimiter == "tab" else self.delimiter
        if delimiter == "auto":
            delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
        # The limit is the module's, for all of the process; by default a cell of more than 128 kB is an error.
        csv.field_size_limit(2**31 - 1)
        with _opened(path, newline="") as file:
            table = csv.reader(file, delimiter=delimiter, strict=True)
            try:
                header = next(table, None)
                if header is None:
                    return
                self._check_header(path, header)
                for row in table:
                    if row:
                        yield self._document(path, table.line_num, dict(_paired(path, table.line_num, header, row)), id)
            except csv.Error as error:
                raise ReadError(f"{path}:{table.line_num}: is not a table: {error}") from error

    def _check_header(self, path: Path, header: list[str]) -> None:
        if self.text_column not in header:
            listed = ", ".join(header)
            raise ReadError(
                f"{path}:1: expected a column {self.text_column!r}, got the columns {listed}: set text_column"
            )
        doubled = sorted({name for name in header if header.count(name) > 1})
        if doubled:
            raise ReadError(f"{path}:1: expected each column once, got {doubled[0]!r} twice")

    def _document(self, path: Path, number: int, record: Mapping[str, str], id: str) -> Document:
        name = record.get(self.id_column, f"{id}#{number}")
        if not name:
            raise ReadError(f"{path}:{number}: expected an id in the column {self.id_column!r}, got nothing")
        used = (self.id_column, self.title_column, self.text_column)
        metadata: dict[str, Any] = {field: value for field, value in record.items() if field not in used and value}
        return Document(name, record[self.text_column], record.get(self.title_column, ""), metadata)


def _paired(path: Path, number: int, header: list[str], row: list[str]) -> Iterator[tuple[str, str]]:
    if len(row) != len(header):
        raise ReadError(f"{path}:{number}: expected {len(header)} cells, got {len(row)}")
    return zip(header, row, strict=True)


def _cut(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
