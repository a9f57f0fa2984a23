from __future__ import annotations

import zipfile
from pathlib import Path

import docx
import pytest
import xlsxwriter
from hookrag.testing import parametrize_checks
from hookrag_readers.files import Docx, Epub, Pdf, Pptx, Xlsx
from hookrag_readers.html import Html
from pptx import Presentation
from reportlab.pdfgen.canvas import Canvas

TEXT = "The zeppelin landed. Café"


def write_pdf(path: Path) -> None:
    canvas = Canvas(str(path))
    canvas.drawString(72, 700, TEXT)
    canvas.save()


def write_docx(path: Path) -> None:
    made = docx.Document()
    made.add_paragraph(TEXT)
    made.save(path)


def write_pptx(path: Path) -> None:
    made = Presentation()
    made.slides.add_slide(made.slide_layouts[0]).shapes.title.text = TEXT
    made.save(path)


def write_xlsx(path: Path) -> None:
    with xlsxwriter.Workbook(str(path)) as book:
        book.add_worksheet("One").write_row(0, 0, ["Name", TEXT])
        book.add_worksheet("Two").write(0, 0, TEXT)


def write_epub(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("META-INF/container.xml", '<c><rootfile full-path="b.opf"/></c>')
        item = '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/>'
        archive.writestr("b.opf", f'<p><manifest>{item}</manifest><spine><itemref idref="a"/></spine></p>')
        archive.writestr("a.xhtml", f"<html><body><p>{TEXT}</p></body></html>")


MADE = {".pdf": (Pdf, write_pdf), ".docx": (Docx, write_docx), ".pptx": (Pptx, write_pptx), ".xlsx": (Xlsx, write_xlsx),
        ".epub": (Epub, write_epub)}  # fmt: skip


def making(suffix):
    def make(folder):
        kind, write = MADE[suffix]
        write(folder / f"sample{suffix}")
        return kind()

    return make


@parametrize_checks("reader", lambda folder: Html())
def test_html_conforms(check, make):
    check(make)


@pytest.mark.parametrize("suffix", MADE)
@parametrize_checks("reader", lambda folder: Html())
def test_files_conform(check, make, suffix):
    check(making(suffix))
