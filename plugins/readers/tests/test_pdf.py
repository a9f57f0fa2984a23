from __future__ import annotations

from pathlib import Path

import pytest
from hookrag import ReadError
from hookrag_readers.files import Pdf
from hookrag_readers.parsers.layout import Piece, in_columns, page_text
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

pdfmetrics.registerFont(TTFont("Vera", "Vera.ttf"))
pdfmetrics.registerFont(UnicodeCIDFont("HeiseiMin-W3"))
pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))


@pytest.fixture(scope="module")
def reader():
    made = Pdf()
    yield made
    made.close()


def lines(canvas: Canvas, texts, *, x=72, y=760, size=11, font="Vera", leading=14) -> None:
    canvas.setFont(font, size)
    for text in texts:
        canvas.drawString(x, y, text)
        y -= leading


def read(reader, path: Path):
    (document,) = reader.read(path, id="a.pdf")
    return document


def test_words_are_whole_and_paragraphs_are_kept(tmp_path, reader):
    canvas = Canvas(str(tmp_path / "a.pdf"))
    canvas.setTitle("Grüße")
    canvas.setAuthor("Ada")
    lines(canvas, ["Heading"], size=18, y=790)
    first = ["The of\ufb01cer found a \ufb02ag. The inter-", "national treaty of the Größe was signed in the", "Anglo-"]
    lines(canvas, [*first, "Saxon way.", "", "A second paragraph begins here, and goes on", "until it ends."])
    lines(canvas, ["日本語のテキストです。"], font="HeiseiMin-W3", y=600)
    lines(canvas, ["中文文本，你好"], font="STSong-Light", y=560)
    canvas.save()
    document = read(reader, tmp_path / "a.pdf")
    assert document.text == (
        "Heading\n\nThe officer found a flag. The international treaty of the Größe was signed in the Anglo-Saxon way.\n\n"
        "A second paragraph begins here, and goes on until it ends.\n\n日本語のテキストです。\n\n中文文本，你好"
    )
    assert document.title == "Grüße"
    assert dict(document.metadata) == {"pages": 1, "author": "Ada", "created": document.metadata["created"]}


def test_pages_are_parted_by_one_form_feed_each_also_empty_ones(tmp_path, reader):
    canvas = Canvas(str(tmp_path / "a.pdf"))
    for text in ("One.", "", "Three."):
        lines(canvas, [text] if text else [])
        canvas.showPage()
    canvas.save()
    document = read(reader, tmp_path / "a.pdf")
    assert document.text == "One.\f\fThree."
    assert (document.metadata["pages"], document.metadata["pages_without_text"]) == (3, 1)


def test_columns_that_were_drawn_across_the_page_are_read_one_after_the_other(tmp_path, reader):
    canvas = Canvas(str(tmp_path / "a.pdf"))
    for at in range(6):
        lines(canvas, [f"left words of line {at} that fill it"], x=72, y=700 - 12 * at, size=9)
        lines(canvas, [f"right words of line {at} that fill it"], x=320, y=700 - 12 * at, size=9)
    canvas.showPage()
    for at in range(6):
        lines(canvas, [f"Item {at}"], x=72, y=700 - 12 * at, size=9)
        lines(canvas, [f"{at}.50"], x=320, y=700 - 12 * at, size=9)
    canvas.save()
    text, table = read(reader, tmp_path / "a.pdf").text.split("\f")
    assert text.index("left words of line 5") < text.index("right words of line 0")
    assert table.split("\n")[:2] == ["Item 0 0.50", "Item 1 1.50"]


def test_a_line_that_ends_early_on_purpose_stays_a_line():
    def line(text, at, right):
        return Piece(text, 0.0, right, 100.0 - 12 * at, 110.0 - 12 * at)

    address = [line("Ada Lovelace", 0, 60), line("12 Square", 1, 45), line("London and the world around it", 2, 150)]
    assert page_text(address) == "Ada Lovelace\n12 Square\nLondon and the world around it"
    prose = [line("words that fill the line to its end", 0, 175), line("and go on", 1, 45)]
    assert page_text(prose) == "words that fill the line to its end and go on"


def test_a_paragraph_goes_on_in_the_next_column():
    below = Piece("the sentence is not", 0, 100, 50, 60)
    above = Piece("over yet", 200, 300, 500, 510)
    assert page_text([below, above]) == "the sentence is not over yet"
    assert page_text([below, Piece("New one", 200, 300, 500, 510)]) == "the sentence is not\n\nNew one"


def test_no_piece_is_lost_or_doubled_by_ordering():
    made = [Piece(f"{row} {column}" * 9, 200 * column, 200 * column + 150, 800 - 12 * row, 810 - 12 * row)
            for row in range(30) for column in range(2 + (row % 7 == 6))]  # fmt: skip
    assert sorted(piece.text for piece in in_columns(made)) == sorted(piece.text for piece in made)


def test_the_title_is_the_first_line_where_the_file_tells_none_or_junk(tmp_path, reader):
    canvas = Canvas(str(tmp_path / "a.pdf"))
    canvas.setTitle("untitled")
    lines(canvas, ["The first line"])
    canvas.save()
    assert read(reader, tmp_path / "a.pdf").title == "The first line"


def refusal(reader, path: Path) -> str:
    with pytest.raises(ReadError) as error:
        read(reader, path)
    return str(error.value)


def test_an_encrypted_file_is_refused_unless_everybody_may_open_it(tmp_path, reader):
    for name, password in (("locked.pdf", "secret"), ("open.pdf", "")):
        canvas = Canvas(str(tmp_path / name), encrypt=StandardEncryption(password, ownerPassword="owner", canCopy=0))
        lines(canvas, ["Hidden words"])
        canvas.save()
    path = tmp_path / "locked.pdf"
    assert refusal(reader, path) == f"{path}: is encrypted and needs a password: save it without one"
    assert read(reader, tmp_path / "open.pdf").text == "Hidden words"


def test_a_scan_is_refused_with_what_to_do(tmp_path, reader):
    canvas = Canvas(str(tmp_path / "scan.pdf"))
    for _ in range(2):
        canvas.rect(10, 10, 500, 700, fill=1)
        canvas.showPage()
    canvas.save()
    path = tmp_path / "scan.pdf"
    assert refusal(reader, path) == (
        f"{path}: has no text layer (2 pages, 2 of them with pictures: a scan): run OCR first, for example ocrmypdf"
    )


def test_what_is_no_pdf_is_refused(tmp_path, reader):
    for data, reason in (
        (b"PK\3\4 zip", "is something else: expected a PDF file, got one that does not begin with %PDF-"),
        (b"%PDF-1.7\nnothing", "is damaged or cut off: PDFium finds no document in it"),
        (b"", "is empty: it has no bytes at all"),
    ):
        path = tmp_path / "a.pdf"
        path.write_bytes(data)
        assert refusal(reader, path) == f"{path}: {reason}"
