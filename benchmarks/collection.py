"""The texts and questions of the comparisons: a collection in BEIR's layout, or what every machine with Python has.

Which one: `--data FOLDER`; else the folder HOOKRAG_DATA, or `scifact` in it; else ../shared/data/scifact beside the repository;
else the docstrings of Python's standard library. Of those the first line is the question and the rest is the document that
answers it, so that nothing has to be downloaded; they are easier than real questions.
"""

from __future__ import annotations

import ast
import json
import os
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from options import ROOT, Options

FEWEST_WORDS = 30


@dataclass(frozen=True, slots=True)
class Collection:
    """Whole documents by id, questions by id, and for each question the gains of documents."""

    documents: Mapping[str, str]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]


def chosen(data: Path | None, folder: Path) -> Path:
    """The folder of the collection; docstrings are written into `folder` first."""
    if data is not None:
        if not (data / "corpus.jsonl").is_file():
            raise SystemExit(f"{data}: has no corpus.jsonl: expected a collection in BEIR's layout")
        return data.resolve()
    named = os.environ.get("HOOKRAG_DATA")
    places = [Path(named), Path(named) / "scifact"] if named else []
    for place in [*places, ROOT.parent / "shared" / "data" / "scifact"]:
        if (place / "corpus.jsonl").is_file():
            return place.resolve()
    return docstrings(folder / "docstrings")


def read(options: Options) -> Collection:
    """The first queries with judgements, all documents that are judged for them, and the first others up to the number."""
    folder = options.collection
    [qrels_file, *_] = sorted((folder / "qrels").glob("*.tsv"), key=lambda path: path.stem != "test")
    qrels: dict[str, dict[str, int]] = {}
    for line in qrels_file.read_text(encoding="utf-8").splitlines()[1:]:
        query, document, gain = line.split("\t")
        qrels.setdefault(query, {})[document] = int(gain)
    asked = [record for record in _records(folder / "queries.jsonl") if record["_id"] in qrels]
    queries = {record["_id"]: record["text"] for record in asked[: options.queries or None]}
    needed = {document for query in queries for document in qrels[query]}
    texts = {record["_id"]: _whole(record) for record in _records(folder / "corpus.jsonl")}
    order = sorted(texts, key=lambda name: name not in needed)  # stable: otherwise the order of the file
    documents = {name: texts[name] for name in order[: options.documents or None] if texts[name]}
    return Collection(documents, queries, {query: qrels[query] for query in queries})


def _whole(record: Mapping[str, str]) -> str:
    """Title and text as one, for sides that know no titles."""
    return f"{record.get('title', '')}\n{record['text']}".strip()


def described(folder: Path) -> str:
    """Its name and size."""
    documents = sum(1 for _ in _records(folder / "corpus.jsonl"))
    return f"{folder.name}, {documents:,} documents"


def _records(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def docstrings(folder: Path) -> Path:
    """The docstrings of the standard library as a collection in BEIR's layout, written into `folder`."""
    (folder / "qrels").mkdir(parents=True)
    seen: set[str] = set()
    with (
        (folder / "corpus.jsonl").open("w", encoding="utf-8") as corpus,
        (folder / "queries.jsonl").open("w", encoding="utf-8") as queries,
        (folder / "qrels" / "test.tsv").open("w", encoding="utf-8") as qrels,
    ):
        qrels.write("query-id\tcorpus-id\tscore\n")
        for number, (heading, rest) in enumerate(_explained()):
            if heading in seen or rest in seen:
                continue
            seen |= {heading, rest}
            corpus.write(json.dumps({"_id": f"d{number}", "title": "", "text": rest}) + "\n")
            queries.write(json.dumps({"_id": f"q{number}", "text": heading}) + "\n")
            qrels.write(f"q{number}\td{number}\t1\n")
    return folder


def _explained() -> Iterator[tuple[str, str]]:
    """The first line and the rest of each docstring that is long enough."""
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(library.rglob("*.py")):
        if {"site-packages", "dist-packages", "test", "tests", "lib2to3"} & set(path.parts):
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                heading, _, rest = (ast.get_docstring(node) or "").partition("\n")
                if len(heading.split()) >= 4 and len(rest.split()) >= FEWEST_WORDS:
                    yield heading, rest.strip()
