"""What a reader promises: documents of a file, or ReadError, and never another exception.

`make(folder)` gives a reader and may put sample files into the folder first. Without samples the kit writes plain ones for the
suffixes that it knows (text, Markdown, HTML, JSON, CSV).
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hookrag.errors import ReadError
from hookrag.testing._kit import Check, CheckFailed, Make, class_of, fresh, opened, require, temporary_folder
from hookrag.testing.general import Trial, general_checks
from hookrag.values import Document

_PLAIN = "# Title\n\nThe zeppelin landed.\n\nCafé, 文, 👩‍🚀.\n"
_SAMPLES: dict[str, str] = {
    ".txt": _PLAIN,
    ".text": _PLAIN,
    ".md": _PLAIN,
    ".markdown": _PLAIN,
    ".rst": "Title\n=====\n\nThe zeppelin landed.\n",
    ".html": "<html><head><title>Title</title></head><body><p>The zeppelin landed.</p></body></html>",
    ".htm": "<html><body><p>The zeppelin landed.</p></body></html>",
    ".json": json.dumps({"id": "a", "text": "The zeppelin landed."}),
    ".jsonl": '{"_id": "a", "id": "a", "text": "The zeppelin landed."}\n{"_id": "b", "id": "b", "text": "Café"}\n',
    ".csv": "id,title,text\na,T,The zeppelin landed.\nb,U,Café\n",
    ".tsv": "id\ttitle\ttext\na\tT\tThe zeppelin landed.\nb\tU\tCafé\n",
}


@contextmanager
def _reading(make: Make) -> Iterator[tuple[Any, list[Path]]]:
    """The reader with its sample files."""
    with temporary_folder() as folder, opened("reader", make, folder) as reader:
        yield reader, _samples(reader, folder)


def _samples(reader: Any, folder: Path) -> list[Path]:
    suffixes = set(reader.suffixes)
    given = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() in suffixes)
    if not given:
        for suffix in sorted(suffixes & _SAMPLES.keys()):
            path = folder / f"sample{suffix}"
            path.write_text(_SAMPLES[suffix], encoding="utf-8")
            given.append(path)
    if not given:
        raise CheckFailed(
            f"{class_of(reader).__name__} reads {sorted(suffixes)}, of which the kit has no sample: let make(folder) copy one "
            f"into the folder before it returns the reader"
        )
    return given


def _read(reader: Any, path: Path, id: str = "the/id") -> list[Document]:
    return list(reader.read(path, id=id))


def check_suffixes_are_lower_case(make: Make) -> str | None:
    """`suffixes` is known without opening: at least one, each a lower-case suffix with its dot."""
    with temporary_folder() as folder:
        component = fresh("reader", make, folder)
    suffixes = list(component.suffixes)
    good = all(isinstance(one, str) and one.startswith(".") and len(one) > 1 and one == one.lower() for one in suffixes)
    require(
        bool(suffixes) and good and not isinstance(component.suffixes, str),
        component,
        f"takes the suffixes {suffixes}",
        'set self.suffixes = frozenset({".md"}): lower case, with the dot',
    )
    return None


def check_documents_are_read(make: Make) -> str | None:
    """A good file gives documents with text, and metadata that JSON can hold."""
    with _reading(make) as (reader, samples):
        for path in samples:
            documents = _read(reader, path)
            good = all(isinstance(one, Document) and isinstance(one.text, str) for one in documents)
            require(
                good and any(one.text.strip() for one in documents),
                reader,
                f"reads no text from {path.name}",
                "yield a hookrag.Document for each text of the file",
            )
            for document in documents:
                try:
                    plain = json.loads(json.dumps(dict(document.metadata))) == document.metadata
                except (TypeError, ValueError):
                    plain = False
                require(
                    plain,
                    reader,
                    f"gives the metadata {dict(document.metadata)!r:.80}",
                    "JSON values only: dates as text, lists instead of tuples",
                )
    return None


def check_ids_begin_with_the_files(make: Make) -> str | None:
    """The id of each document begins with the id that the file got, and none is there twice."""
    with _reading(make) as (reader, samples):
        for path in samples:
            for name in ("the/id", "é '文'"):
                ids = [document.id for document in _read(reader, path, name)]
                require(
                    all(one.startswith(name) for one in ids),
                    reader,
                    f"gives the ids {ids[:3]} for a file with the id {name!r}",
                    'name documents f"{id}#{number}", or id where a file is one document',
                )
                require(
                    len(set(ids)) == len(ids),
                    reader,
                    f"gives an id twice: {ids[:6]}",
                    "number what has no name of its own",
                )
    return None


def check_files_are_not_changed(make: Make) -> str | None:
    """Reading leaves the folder as it was."""
    with _reading(make) as (reader, samples):
        folder = samples[0].parent
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for path in samples:
            _read(reader, path)
        after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        require(before == after, reader, "changes files beside the one it reads", "open files for reading only")
    return None


def check_missing_file_is_a_read_error(make: Make) -> str | None:
    """A file that is not there, and a folder, raise ReadError that names it."""
    with _reading(make) as (reader, samples):
        suffix = sorted(reader.suffixes)[0]
        folder = samples[0].parent / f"folder{suffix}"
        folder.mkdir()
        for path in (samples[0].parent / f"missing{suffix}", folder):
            error = _error(reader, path)
            require(
                error is not None and path.name in str(error),
                reader,
                f"says {str(error or 'nothing')[:80]!r} of {path.name}, which cannot be read",
                'raise ReadError(f"{path}: ...") from error, for every OSError',
            )
    return None


def _error(reader: Any, path: Path) -> ReadError | None:
    """The ReadError of a file, None where it is read. Fails for another exception."""
    try:
        _read(reader, path)
    except ReadError as error:
        return error
    except Exception as error:
        cause = error.__cause__ or error
        raise CheckFailed(
            f"{class_of(reader).__name__} raises {type(cause).__name__} for {path.name}: raise ReadError with the file's name "
            f"and what is wrong, from the error of the parser"
        ) from error
    return None


def check_empty_file_is_no_crash(make: Make) -> str | None:
    """An empty file gives documents or none, or ReadError."""
    with _reading(make) as (reader, samples):
        for suffix in sorted(reader.suffixes):
            path = samples[0].parent / f"empty{suffix}"
            path.write_bytes(b"")
            _error(reader, path)
    return None


def check_garbage_is_no_crash(make: Make) -> str | None:
    """Random bytes, NULs, cut samples and odd encodings give documents or ReadError; text that comes is valid Unicode."""
    chance = random.Random(7)
    with _reading(make) as (reader, samples):
        whole = samples[0].read_bytes()
        garbage = {
            "random": chance.randbytes(4_000),
            "nul": b"\x00" * 500,
            "high": bytes(range(128, 256)) * 4,
            "utf16": "\ufeffThe zeppelin landed.".encode("utf-16"),
            "bom": b"\xef\xbb\xbf" + whole,
            "cut": whole[: len(whole) // 2],
            "broken": b"{[(<\"'&#x0;" * 50,
            "deep": b"[" * 20_000,
        }
        for name, data in garbage.items():
            for suffix in sorted(reader.suffixes):
                path = samples[0].parent / f"{name}{suffix}"
                path.write_bytes(data)
                if _error(reader, path) is None:
                    for document in _read(reader, path):
                        _require_unicode(reader, document, path)
    return None


def _require_unicode(reader: Any, document: Document, path: Path) -> None:
    try:
        (document.text + document.title + document.id).encode("utf-8")
        whole = True
    except UnicodeEncodeError:
        whole = False
    require(
        whole,
        reader,
        f"gives text with lone surrogates for {path.name}",
        'decode with errors="replace", or raise ReadError',
    )


def _prepare(reader: Any, folder: Path) -> list[Path]:
    return _samples(reader, folder)


def _call(reader: Any, paths: Sequence[Path]) -> list[list[Document]]:
    return [_read(reader, path, path.name) for path in paths]


CHECKS: tuple[Check, ...] = (
    *general_checks(Trial("reader", _prepare, _call, separate=False)),
    check_suffixes_are_lower_case,
    check_documents_are_read,
    check_ids_begin_with_the_files,
    check_files_are_not_changed,
    check_missing_file_is_a_read_error,
    check_empty_file_is_no_crash,
    check_garbage_is_no_crash,
)
