"""Documents that are made from others in the index: a new generation does without them until they are made again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hookrag import Document, IngestRefused, Pipeline, SwitchRefused
from hookrag.ingest.coverage import derived_sources

from .shared import opened, tables, write

COMMAND = "hookrag graph build"


def summaries(pipeline: Pipeline, **options: str) -> None:
    documents = [Document(f"summary {number}", f"what document {number} says") for number in range(30)]
    pipeline.index(documents, source="graph", complete=True, **options)  # type: ignore[arg-type]


def test_a_derived_source_need_not_be_given(tmp_path: Path) -> None:
    docs = write(tmp_path, a="one two", b="three four")
    with opened(tables(tmp_path)) as pipeline:
        pipeline.index_files(docs)
        summaries(pipeline, remade_by=COMMAND)
    with opened(tables(tmp_path, size=3)) as pipeline:
        report = pipeline.reindex([docs])
        assert (report.switched, report.remake) == (True, {"graph": COMMAND})
        assert report.to_json()["remake"] == {"graph": COMMAND}
    with opened(tables(tmp_path, size=3)) as pipeline:
        assert pipeline.stores[0].count() == 2
        summaries(pipeline, remade_by=COMMAND)
        assert pipeline.stores[0].count() > 30
        again = [Document("summary 0", "what document 0 says")]
        report = pipeline.reindex([docs], documents={"graph": again}, prune=True)
        assert report.remake == {}, "it was given"


def test_without_a_command_it_has_to_be_given(tmp_path: Path) -> None:
    docs = write(tmp_path, a="one two")
    with opened(tables(tmp_path)) as pipeline:
        pipeline.index_files(docs)
        summaries(pipeline, remade_by=COMMAND)
        summaries(pipeline)  # it is derived no more
    assert derived_sources(tmp_path / "index" / "1") == {}
    with opened(tables(tmp_path, size=3)) as pipeline:
        with pytest.raises(IngestRefused, match=r"30 documents of the index in .* come from what was not given"):
            pipeline.reindex([docs])


def test_what_is_not_derived_is_guarded_all_the_same(tmp_path: Path) -> None:
    docs = write(tmp_path, **{f"d{number}": f"text {number}" for number in range(30)})
    with opened(tables(tmp_path)) as pipeline:
        pipeline.index_files(docs)
        summaries(pipeline, remade_by=COMMAND)
    for path in list(docs.iterdir())[:20]:
        path.unlink()
    with opened(tables(tmp_path, size=3)) as pipeline:
        with pytest.raises(SwitchRefused, match="20 of 30 documents are gone from what was given"):
            pipeline.reindex([docs])


def test_the_command_line_says_how(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from hookrag.cli.reindex import _tell
    from hookrag.index.reindex import ReindexReport

    _tell((), ReindexReport(2, switched=True, remake={"graph": COMMAND}), False)
    assert capsys.readouterr().out.splitlines() == [
        "generation 2 is verified and is searched from now on",
        "the documents of 'graph' are made from the others: make them again, hookrag graph build",
    ]
