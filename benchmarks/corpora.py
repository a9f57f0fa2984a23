"""The judged collections that the results are measured on, in BEIR's layout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chunking import Question, text_of
from chunking import questions as spans_of
from hookrag import Document, Query
from hookrag.qrels import Qrels, read_qrels, read_queries

SPLITS: Mapping[str, str] = {
    "scifact": "test",
    "nfcorpus": "dev",
    "cranfield": "test",
    "docs-qa": "test",
    "musique-100": "test",
    "hotpotqa-train100": "test",
    "xquad-en": "test",
    "chunking-eval": "test",
}
"""The collections that are used, with the split whose judgements are."""


@dataclass(frozen=True, slots=True)
class Collection:
    """Documents, questions and judgements; `groups` names for each question those that are resampled together."""

    name: str
    documents: Sequence[Document]
    queries: Sequence[Query]
    qrels: Qrels
    groups: Sequence[str]
    spans: Sequence[Question] = ()


def data_folder() -> Path:
    """The folder of the collections. Ends the program where one is missing, with what is needed."""
    folder = Path(os.environ.get("HOOKRAG_DATA", Path(__file__).parents[2] / "shared" / "data"))
    needed = [f"{name}/{part}" for name, split in SPLITS.items() for part in parts(name, split)]
    missing = [part for part in needed if not (folder / part).exists()]
    if missing:
        sys.exit(
            f"{folder}: {len(missing)} of {len(needed)} files are missing ({', '.join(missing[:3])}"
            f"{', ...' if len(missing) > 3 else ''}). Set HOOKRAG_DATA to a folder with the collections {', '.join(SPLITS)}, "
            "each in BEIR's layout: corpus.jsonl, queries.jsonl and qrels/<split>.tsv"
        )
    return folder


def parts(name: str, split: str) -> list[str]:
    """The files of a collection that are read."""
    if name == "chunking-eval":
        return ["queries.jsonl", "extra/documents"]
    return ["corpus.jsonl", "queries.jsonl", f"qrels/{split}.tsv"]


def read(name: str) -> Collection:
    """A collection by its name in SPLITS."""
    folder = data_folder() / name
    if name == "chunking-eval":
        return _spans(folder)
    with (folder / "corpus.jsonl").open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    documents = [Document(record["_id"], record["text"], record.get("title", "")) for record in records]
    qrels = read_qrels(folder / "qrels" / f"{SPLITS[name]}.tsv")
    queries = [query for query in read_queries(folder / "queries.jsonl") if query.id in qrels]
    # The questions of a paragraph of XQuAD stand or fall with it; elsewhere each is a group of its own.
    groups = [min(qrels[query.id]) if name.startswith("xquad") else query.id for query in queries]
    return Collection(name, documents, queries, qrels, groups)


def _spans(folder: Path) -> Collection:
    """Whole documents whose judgements are the spans that answer; the questions of a document are a group."""
    names = sorted(path.stem for path in (folder / "extra" / "documents").glob("*.md"))
    asked = spans_of(folder, names)
    queries = [Query(str(number), one.text) for number, one in enumerate(asked)]
    documents = [Document(name, text_of(folder, name)) for name in names]
    return Collection(folder.name, documents, queries, {}, [one.document for one in asked], asked)
