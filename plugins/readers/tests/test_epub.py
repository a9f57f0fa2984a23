from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from hookrag import ReadError
from hookrag_readers.files import Epub

PAGE = '<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN" "x.dtd"><html><head><title/></head>'
PAGE += "<body>{}</body></html>"
NAV = (
    '<html><body><nav><ol><li><a href="ch%202.xhtml#top">The <i>second</i> &amp; last</a></li></ol></nav></body></html>'
)
NCX = (
    '<!DOCTYPE ncx PUBLIC "-//NISO//DTD ncx 2005-1//EN" "x"><ncx><navMap><navPoint><navLabel><text>Named</text></navLabel>'
    '<content src="note.xhtml"/></navPoint></navMap></ncx>'
)


def book(path: Path, **more: str) -> Path:
    items = {
        "n": ("nav.xhtml", 'application/xhtml+xml" properties="nav'), "a": ("ch1.xhtml", "application/xhtml+xml"),
        "b": ("ch%202.xhtml", "application/xhtml+xml"), "c": ("note.xhtml", "application/xhtml+xml"),
        "t": ("toc.ncx", "application/x-dtbncx+xml"), "p": ("cover.png", "image/png"),
    }  # fmt: skip
    manifest = "".join(f'<item id="{name}" href="{href}" media-type="{kind}"/>' for name, (href, kind) in items.items())
    spine = "".join(f'<itemref idref="{name}"/>' for name in "pnabc")
    told = (
        "<dc:title>A Book</dc:title><dc:creator>Ada</dc:creator><dc:creator>Bob</dc:creator><dc:date>1999-05</dc:date>"
    )
    parts = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container><rootfiles><rootfile full-path="OPS/b.opf"/></rootfiles></container>',
        "OPS/b.opf": f'<package xmlns:dc="dc"><metadata>{told}<dc:language>de</dc:language></metadata>'
        f'<manifest>{manifest}</manifest><spine toc="t">{spine}</spine></package>',
        "OPS/nav.xhtml": NAV,
        "OPS/toc.ncx": NCX,
        "OPS/ch1.xhtml": PAGE.format('<h1>One</h1><p>Text<a id="x"/>&nbsp;one.<br/></p><aside>A note.</aside>'),
        "OPS/ch 2.xhtml": PAGE.format("<p>Text two.</p>"),
        "OPS/note.xhtml": PAGE.format("<p>Last.</p>"),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in {**parts, **more}.items():
            archive.writestr(name, text)
    return path


def test_chapters_come_in_order_with_headings_of_their_own_or_of_the_contents(tmp_path):
    reader = Epub()
    (document,) = reader.read(book(tmp_path / "a.epub"), id="a.epub")
    reader.close()
    assert document.text == ("# One\n\nText one.\n\nA note.\n\n# The second & last\n\nText two.\n\n# Named\n\nLast.")
    assert document.title == "A Book"
    assert dict(document.metadata) == {"author": "Ada; Bob", "created": "1999-05", "lang": "de"}


def test_a_protected_book_is_refused_and_one_with_hidden_fonts_is_not(tmp_path):
    reader = Epub()
    for number, (algorithm, taken) in enumerate((("http://www.idpf.org/2008/embedding", True), ("aes128", False))):
        locked = f'<encryption><EncryptedData><EncryptionMethod Algorithm="{algorithm}"/></EncryptedData></encryption>'
        path = book(tmp_path / f"{number}.epub", **{"META-INF/encryption.xml": locked})
        if taken:
            assert list(reader.read(path, id="a"))
        else:
            with pytest.raises(ReadError) as error:
                list(reader.read(path, id="a"))
            assert str(error.value) == (
                f"{path}: is protected against copying (DRM): ask its publisher for a copy without"
            )
    reader.close()
