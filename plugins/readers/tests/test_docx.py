from __future__ import annotations

import zipfile
from datetime import datetime
from pathlib import Path

import docx
import pytest
from hookrag import ReadError
from hookrag_readers.files import Docx

OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


@pytest.fixture(scope="module")
def reader():
    made = Docx()
    yield made
    made.close()


def read(reader, path: Path):
    (document,) = reader.read(path, id="a.docx")
    return document


def write(path: Path, body: str, part: str = "", **parts: str) -> Path:
    """A document by hand: what Word writes and python-docx does not."""
    kinds = "".join(f'<Relationship Id="{name}" Type="{OFFICE}/{name}" Target="{name}.xml"/>' for name in parts)
    with zipfile.ZipFile(path, "w") as archive:
        target = f'<Relationship Id="a" Type="{OFFICE}/officeDocument" Target="word/document.xml"/>'
        archive.writestr("_rels/.rels", f"<Relationships>{target}</Relationships>")
        archive.writestr("word/_rels/document.xml.rels", f"<Relationships>{kinds}</Relationships>")
        whole = part or f'<w:document xmlns:w="w" xmlns:mc="mc"><w:body>{body}</w:body></w:document>'
        archive.writestr("word/document.xml", whole)
        for name, text in parts.items():
            archive.writestr(f"word/{name}.xml", f'<w:{name} xmlns:w="w">{text}</w:{name}>')
    return path


def p(text: str, properties: str = "") -> str:
    return f"<w:p><w:pPr>{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def test_headings_lists_and_tables_in_order(tmp_path, reader):
    made = docx.Document()
    made.core_properties.author = "Ada Lovelace"
    made.core_properties.created = datetime(2024, 3, 5, 10)
    made.add_heading("The Report", 0)
    made.add_paragraph("Introduction: äöü 你好 & <more>.")
    made.add_heading("Scope", 1)
    for text, style in (
        ("First", "List Bullet"),
        ("Second", "List Bullet"),
        ("One", "List Number"),
        ("Two", "List Number"),
    ):
        made.add_paragraph(text, style=style)
    table = made.add_table(rows=2, cols=2)
    for row, cells in enumerate((("Port", "Use"), ("80", "the\nweb"))):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    made.add_heading("Details", 2)
    made.add_paragraph("Above").add_run().add_break()
    made.save(tmp_path / "a.docx")
    document = read(reader, tmp_path / "a.docx")
    assert document.text == (
        "# The Report\n\nIntroduction: äöü 你好 & <more>.\n\n# Scope\n\n- First\n- Second\n1. One\n2. Two\n\n"
        "| Port | Use |\n| 80 | the web |\n\n## Details\n\nAbove"
    )
    assert document.title == "The Report"
    assert dict(document.metadata) == {"author": "Ada Lovelace", "created": "2024-03-05"}


def test_automatic_numbers_are_written_out(tmp_path, reader):
    styles = '<w:style w:styleId="H"><w:name w:val="heading 1"/>'
    styles += '<w:pPr><w:numPr><w:numId w:val="7"/></w:numPr></w:pPr></w:style>'
    styles += '<w:style w:styleId="K"><w:name w:val="Mine"/><w:basedOn w:val="H"/></w:style>'
    level = '<w:lvl w:ilvl="{0}"><w:start w:val="1"/><w:numFmt w:val="{1}"/><w:lvlText w:val="{2}"/></w:lvl>'
    levels = (
        level.format(0, "upperRoman", "%1.")
        + level.format(1, "decimal", "%1.%2")
        + level.format(2, "lowerLetter", "%3)")
    )
    lists = f'<w:abstractNum w:abstractNumId="3">{levels}</w:abstractNum>'
    lists += '<w:num w:numId="7"><w:abstractNumId w:val="3"/></w:num>'
    inner = '<w:numPr><w:ilvl w:val="{}"/><w:numId w:val="7"/></w:numPr>'
    style = '<w:pStyle w:val="{}"/>'
    body = (
        p("Scope", style.format("H"))
        + p("part", inner.format(1))
        + p("part", inner.format(1))
        + p("deep", inner.format(2))
    )
    body += (
        p("Costs", style.format("K"))
        + p("part", inner.format(1))
        + p("plain", '<w:numPr><w:numId w:val="0"/></w:numPr>')
    )
    document = read(reader, write(tmp_path / "a.docx", body, styles=styles, numbering=lists))
    assert document.text == ("# I. Scope\n\n  I.1 part\n  I.2 part\n    a) deep\n\n# II. Costs\n\n  II.1 part\n\nplain")


def test_notes_stand_behind_their_paragraph(tmp_path, reader):
    body = (
        '<w:p><w:r><w:t>Claim</w:t></w:r><w:r><w:footnoteReference w:id="2"/></w:r><w:r><w:t>.</w:t></w:r></w:p>'
        + p("Next")
    )
    notes = f'<w:footnote w:type="separator" w:id="1">{p("no")}</w:footnote>'
    notes += f'<w:footnote w:id="2">{p("See")}{p("there.")}</w:footnote>'
    document = read(reader, write(tmp_path / "a.docx", body, footnotes=notes))
    assert document.text == "Claim[1].\n\n[1] See there.\n\nNext"


def test_only_what_is_seen_is_read_and_once(tmp_path, reader):
    body = (
        "<w:p><w:ins><w:r><w:t>New </w:t></w:r></w:ins><w:del><w:r><w:delText>old</w:delText></w:r></w:del>"
        "<w:moveFrom><w:r><w:t>moved</w:t></w:r></w:moveFrom><w:r><w:instrText>PAGE</w:instrText><w:t>text</w:t></w:r></w:p>"
        f"<w:p><w:r><mc:AlternateContent><mc:Choice><w:txbxContent>{p('Box')}</w:txbxContent></mc:Choice>"
        f"<mc:Fallback>{p('Box')}</mc:Fallback></mc:AlternateContent></w:r></w:p><w:sdt><w:sdtContent>{p('Field')}</w:sdtContent></w:sdt>"
    )
    assert read(reader, write(tmp_path / "a.docx", body)).text == "New text\n\nBox\n\nField"


def test_tables_inside_tables_and_tables_that_lay_out_the_page(tmp_path, reader):
    def table(*rows):
        cells = ("".join(f"<w:tc>{cell}</w:tc>" for cell in row) for row in rows)
        return "<w:tbl>" + "".join(f"<w:tr>{row}</w:tr>" for row in cells) + "</w:tbl>"

    inner = table((p("a"), p("b")))
    long = "word " * 120
    body = table((p("x"), inner)) + table((p("Menu"), p(long))) + p("After")
    text = read(reader, write(tmp_path / "a.docx", body)).text
    assert text == f"| x | | a | b | |\n\nMenu\n\n{long.strip()}\n\nAfter"


def test_what_is_no_word_document_is_refused_with_what_to_do(tmp_path, reader):
    path = tmp_path / "a.docx"
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
    old = (
        "is in the format of Office 97, whatever its name says: expected a Word document; save it in the present format"
    )
    broken = "is damaged: word/document.xml is not well-formed XML: mismatched tag: line 1, column 53"
    doctype = "declares a DOCTYPE in word/document.xml, which such files never have: it is damaged, or made to do harm"
    write(path, "<w:p>")
    cases = [(path.read_bytes(), broken)]
    write(path, "", part='<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>')
    cases.append((path.read_bytes(), doctype))
    cases += [
        (ole, old),
        (ole + "EncryptedPackage".encode("utf-16-le"), "is protected by a password: save it without one"),
    ]
    for data, reason in cases:
        path.write_bytes(data)
        with pytest.raises(ReadError) as error:
            read(reader, path)
        assert str(error.value) == f"{path}: {reason}"
