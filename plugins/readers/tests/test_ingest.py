"""The readers in a real pipeline, and among hostile files."""

from __future__ import annotations

import importlib.util
import sys
import zipfile
from pathlib import Path

import docx
import xlsxwriter
from hookrag import Pipeline
from pptx import Presentation
from reportlab.pdfgen.canvas import Canvas

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
CONFIG = """
[pipelines.default]
retriever = "bm25"
[chunkers.passages]
use = "sentences"
size = 5
overlap = 0
[stores.terms]
use = "lexical"
chunker = "passages"
[retrievers.bm25]
use = "text"
store = "terms"
""" + "".join(f'[readers.{name}]\nuse = "{name}"\n' for name in ("html", "pdf", "docx", "pptx", "xlsx", "epub"))


def fill(folder: Path) -> None:
    canvas = Canvas(str(folder / "a.pdf"))
    for page in ("The first page.", "The second page.", "The zeppelin landed at noon.", "The end."):
        for line, text in enumerate([page, *["Words of no meaning fill the page."] * 5]):
            canvas.drawString(72, 700 - 14 * line, text)
        canvas.showPage()
    canvas.save()
    made = docx.Document()
    made.add_paragraph("The submarine surfaced.")
    made.save(folder / "b.docx")
    slides = Presentation()
    for title in ("Opening " + "word " * 40, "The glider crashed."):
        slides.slides.add_slide(slides.slide_layouts[0]).shapes.title.text = title
    slides.save(folder / "c.pptx")
    with xlsxwriter.Workbook(str(folder / "d.xlsx")) as book:
        sheet = book.add_worksheet("Fleet")
        sheet.write_row(0, 0, ["Vessel", "Crew"])
        sheet.write_row(1, 0, ["tugboat", 7])
    with zipfile.ZipFile(folder / "e.epub", "w") as archive:
        archive.writestr("META-INF/container.xml", '<c><rootfile full-path="b.opf"/></c>')
        item = '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/>'
        archive.writestr("b.opf", f'<p><manifest>{item}</manifest><spine><itemref idref="a"/></spine></p>')
        archive.writestr("a.xhtml", "<html><body><p>The tricycle squeaked.</p></body></html>")
    (folder / "f.txt").write_text("The bicycle rusted.")
    (folder / "g.html").write_text("<p>The tram stopped.")


def test_a_sentence_is_found_with_its_page_in_a_file_of_each_kind(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    fill(folder)
    (tmp_path / "pipeline.toml").write_text(CONFIG)
    with Pipeline.from_config(tmp_path / "pipeline.toml") as pipeline:
        report = pipeline.index_files(folder)
        assert (report.new, report.unread, report.failed, dict(report.skipped)) == (7, [], [], {})
        words = ["zeppelin", "submarine", "glider", "tugboat", "tricycle", "bicycle", "tram"]
        hits = [ranking.hits[0].chunk for ranking in pipeline.retrieve(words, k=1)]
        assert [hit.document_id for hit in hits] == [
            "docs/a.pdf", "docs/b.docx", "docs/c.pptx", "docs/d.xlsx#Fleet", "docs/e.epub", "docs/f.txt", "docs/g.html",
        ]  # fmt: skip
        assert "The zeppelin landed at noon." in hits[0].text
        assert [hits[0].metadata["page"], hits[2].metadata["page"]] == [3, 2]
        again = pipeline.index_files(folder)
        assert (again.new, again.changed, again.unchanged) == (0, 0, 7)


def test_hostile_files_do_no_harm_and_good_ones_are_all_taken(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("hostile", BENCHMARKS / "hostile.py")
    assert spec is not None
    assert spec.loader is not None
    hostile = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hostile)
    told, wrong = hostile.run(tmp_path, short=True)
    assert wrong == []
    assert len(told["unread"]) >= 20
    sys.modules.pop("hostile_files")
