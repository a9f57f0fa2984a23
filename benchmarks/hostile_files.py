"""The files of hostile.py: good ones, and some 190 that are damaged, made to do harm, or not what their names say."""

from __future__ import annotations

import random
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO

OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
MAIN = {"docx": "word/document.xml", "xlsx": "xl/workbook.xml", "pptx": "ppt/presentation.xml"}
Parts = dict[str, str | bytes]
Data = bytes | Callable[[], bytes]  # what is large is made when it is written


def zipped(parts: Mapping[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = BytesIO()
    with zipfile.ZipFile(made, "w", method, compresslevel=1) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return made.getvalue()


def related(*targets: tuple[str, str]) -> str:
    inside = "".join(
        f'<Relationship Id="r{at}" Type="{OFFICE}/{kind}" Target="{to}"/>' for at, (kind, to) in enumerate(targets)
    )
    return f"<Relationships>{inside}</Relationships>"


def docx(text: str, raw: str = "") -> Parts:
    body = raw or f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"
    return {
        "_rels/.rels": related(("officeDocument", MAIN["docx"])),
        MAIN["docx"]: f'<w:document xmlns:w="urn:w"><w:body>{body}</w:body></w:document>',
    }


def xlsx(text: str, raw: str = "") -> Parts:
    rows = raw or f'<row r="1"><c r="A1" t="inlineStr"><is><t>{text}</t></is></c></row>'
    return {
        "_rels/.rels": related(("officeDocument", MAIN["xlsx"])),
        MAIN[
            "xlsx"
        ]: f'<workbook xmlns:r="{OFFICE}"><sheets><sheet name="One" sheetId="1" r:id="r0"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": related(("worksheet", "sheet1.xml"), ("sharedStrings", "strings.xml")),
        "xl/strings.xml": "<sst/>",
        "xl/sheet1.xml": f"<worksheet><sheetData>{rows}</sheetData></worksheet>",
    }


def pptx(text: str, raw: str = "") -> Parts:
    shapes = raw or f"<p:sp><p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"
    return {
        "_rels/.rels": related(("officeDocument", MAIN["pptx"])),
        MAIN["pptx"]: f'<p xmlns:r="{OFFICE}"><sldIdLst><sldId id="256" r:id="r0"/></sldIdLst></p>',
        "ppt/_rels/presentation.xml.rels": related(("slide", "slide1.xml")),
        "ppt/slide1.xml": f'<p:sld xmlns:p="urn:p" xmlns:a="urn:a">{shapes}</p:sld>',
    }


def epub(text: str, raw: str = "") -> Parts:
    item = '<item id="c" href="c.xhtml" media-type="application/xhtml+xml"/>'
    return {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container><rootfiles><rootfile full-path="b.opf"/></rootfiles></container>',
        "b.opf": f"<package><manifest>{item}</manifest><spine><itemref idref='c'/></spine></package>",
        "c.xhtml": f"<html><body>{raw or f'<h1>Chapter</h1><p>{text}</p>'}</body></html>",
    }


def pdf(
    text: str = "", *, pages: int = 1, kids: str = "", count: int = 0, extra: str = "", stream: bytes = b""
) -> bytes:
    """A small PDF: objects 1 to 4 are the catalog, the pages, a font and the content; then come the pages."""
    content = stream or zlib.compress(f"BT /F 12 Tf 72 700 Td ({text}) Tj ET".encode("cp1252"))
    own = b"" if text or stream else b"/X 1"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Count {count or pages}/Kids[{kids or ' '.join(f'{5 + at} 0 R' for at in range(pages))}]>>".encode(),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        f"<</Filter/FlateDecode/Length {len(content)}>>stream\n".encode() + content + b"\nendstream",
    ]
    shown = own or b"/Contents 4 0 R/Resources<</Font<</F 3 0 R>>>>"
    objects += [b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]" + shown + b">>"] * pages
    made = bytearray(b"%PDF-1.7\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(made))
        made += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(made)
    made += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    made += b"".join(f"{place:010} 00000 n \n".encode() for place in places)
    made += f"trailer<</Size {len(objects) + 1}/Root 1 0 R{extra}>>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(made)


KINDS: dict[str, Callable[..., Parts]] = {"docx": docx, "xlsx": xlsx, "pptx": pptx, "epub": epub}
PART = {"docx": MAIN["docx"], "xlsx": "xl/sheet1.xml", "pptx": "ppt/slide1.xml", "epub": "c.xhtml"}
SUFFIXES = ("docx", "xlsx", "pptx", "epub", "pdf", "html", "txt", "md", "jsonl", "csv")


def good() -> Iterator[tuple[str | bytes, bytes]]:
    """Files that have to be taken; each says "gutename" once."""
    for at in range(2):
        for kind, make in KINDS.items():
            yield f"good-{at}.{kind}", zipped(make(f"gutename {kind} {at}"))
        yield f"good-{at}.pdf", pdf(f"gutename pdf {at}", pages=2)
    yield "good.txt", b"gutename text"
    yield "good-utf16.txt", "gutename \u4f60\u597d".encode("utf-16")
    yield "good.md", b"# Title\n\ngutename"
    yield "good.html", b"<p>gutename"
    yield "good.csv", b"id,text\na,gutename\n"
    yield "good.jsonl", b'{"_id": "one", "text": "gutename"}\n'
    yield "good-macros.docm", zipped({**docx("gutename"), "word/vbaProject.bin": b"\xd0\xcf\x11\xe0 macro"})
    yield b"good-caf\xe9.docx", zipped(docx("gutename latin-1"))
    yield unicodedata.normalize("NFD", "good-über.docx"), zipped(docx("gutename NFD"))
    yield "/".join(["good-" + "n" * 200, "m" * 245 + ".docx"]), zipped(docx("gutename long"))


def bombs(kind: str) -> Iterator[tuple[str, Data]]:
    make, part = KINDS[kind], PART[kind]
    yield "bomb-spaces", lambda: zipped({**make("x"), part: b" " * (600 << 20)})
    start, end = str(make("MARK")[part]).split("MARK")
    yield "bomb-text", lambda: zipped({**make("x"), part: start.encode() + b"word " * (20 << 20) + end.encode()})
    laughs = "".join(f'<!ENTITY l{at} "{f"&l{at - 1};" * 10}">' for at in range(1, 10))
    yield "laughs", zipped({**make("x"), part: f'<!DOCTYPE z [<!ENTITY l0 "lol">{laughs}]><z>&l9;</z>'})
    yield (
        "quadratic",
        zipped({**make("x"), part: f'<!DOCTYPE z [<!ENTITY a "{"a" * 50_000}">]><z>{"&a;" * 50_000}</z>'}),
    )
    yield "deep", zipped({**make("x"), part: "<d>" * 10_000 + "</d>" * 10_000})
    yield "nested", zipped({f"{kind}{at}.zip": zipped(make("x")) for at in range(3)})
    lie = bytearray(zipped(make("x" * 1000)))
    at = lie.rfind(b"PK\1\2")
    lie[at + 24 : at + 28] = struct.pack("<I", 4_000_000_000)
    yield "lie-large", bytes(lie)
    lie[at + 24 : at + 28] = struct.pack("<I", 10)
    yield "lie-small", bytes(lie)
    crc = bytearray(zipped(make("x")))
    crc[crc.rfind(b"PK\1\2") + 16] ^= 0xFF
    yield "crc", bytes(crc)
    locked = bytearray(zipped(make("x")))
    for place in [at for at in range(len(locked)) if locked[at : at + 4] == b"PK\1\2"]:
        locked[place + 8] |= 1
    yield "zip-password", bytes(locked)
    yield "lzma", zipped(make("x"), zipfile.ZIP_LZMA)
    yield "password", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 2000 + "EncryptedPackage".encode("utf-16-le")
    yield "old", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 2000 + "WordDocument".encode("utf-16-le")
    yield "surrogate", zipped(make("x&#xD800;y"))
    yield "surrogate-bytes", zipped({**make("x"), part: str(make("x")[part]).encode().replace(b"x", b"\xed\xa0\x80")})
    yield "members", lambda: zipped({**make("x"), **{f"p{at}.xml": b"" for at in range(25_000)}})
    other = next(name for name in KINDS if name != kind)
    yield "other", zipped(KINDS[other]("x"))
    yield "no-part", zipped({name: data for name, data in make("x").items() if name != part})


def outward(kind: str, port: int) -> Iterator[tuple[str, bytes]]:
    make, part = KINDS[kind], PART[kind]
    for name, target in (("passwd", "file:///etc/passwd"), ("http", f"http://127.0.0.1:{port}/xxe")):
        text = str(make("&e;")[part])
        yield f"xxe-{name}", zipped({**make("x"), part: f'<!DOCTYPE z [<!ENTITY e SYSTEM "{target}">]>{text}'})


def pdfs() -> Iterator[tuple[str, Data]]:
    yield "cyclic", pdf("x", kids="2 0 R 2 0 R 5 0 R")
    yield "empty-pages", lambda: pdf(pages=100_000)
    yield "count", pdf("x", count=2**31 - 1)
    yield "encrypted", pdf("x", extra="/ID[<00><00>]/Encrypt<</Filter/Standard/V 2/R 3/Length 128/P -4/O<00>/U<00>>>")
    yield "stream-bomb", lambda: pdf(stream=zlib.compress(b"0 0 m " * (100 << 20), 9))
    yield "length", pdf("x").replace(b"/Length ", b"/Length 99999999999")
    yield "no-xref", pdf("x").replace(b"startxref", b"startnone").replace(b"xref", b"none")
    yield "deep-arrays", b"%PDF-1.7\n1 0 obj\n" + b"[" * 200_000 + b"]" * 200_000 + b"\nendobj\ntrailer<</Root 1 0 R>>"
    yield "many-letters", pdf(stream=zlib.compress(b"BT /F 1 Tf 1 0 0 1 0 0 Tm " + b"(abcdefgh) Tj " * 400_000 + b"ET"))
    form = b"/Resources<</XObject<</A 4 0 R>>>>"
    yield (
        "own-form",
        pdf(stream=zlib.compress(b"/A Do")).replace(b"<</Filter", b"<</Subtype/Form/BBox[0 0 9 9]" + form + b"/Filter"),
    )


def plain() -> Iterator[tuple[str, Data]]:
    yield "deep.html", b"<div>" * 10_000 + b"deep"
    yield "deep.xml", b"<d>" * 10_000
    yield "deep.json", b"[" * 10_000
    yield "deep.jsonl", b'{"_id": "d", "text": ' + b"[" * 10_000
    yield "cell.csv", lambda: b"id,text\nbig," + b"word " * (10 << 20) + b"\n"
    yield "quote.csv", b'id,text\na,"' + b"x" * 1_000_000
    yield "cut.jsonl", b'{"_id": "k1", "text": "one"}\n{"_id": "k2", "te'
    yield "nul.txt", b"text\0with\0zeros"
    yield "latin.txt", "Gr\xfc\xdfe".encode("latin-1")
    yield "utf16-cut.txt", "text".encode("utf-16")[:-1]
    yield "surrogate.jsonl", b'{"_id": "s\\ud800", "text": "x"}\n'
    yield "nan.jsonl", b'{"_id": "nan", "text": "x", "score": NaN}\n'
    yield "twins-\u00e9.txt", b"one"
    yield unicodedata.normalize("NFD", "twins-\u00e9.txt"), b"two"


def hostile(port: int, chance: random.Random) -> Iterator[tuple[str, Data]]:
    """Names and bytes; what is no plain file comes on top."""
    for kind in KINDS:
        for name, data in (*bombs(kind), *outward(kind, port)):
            yield f"{name}.{kind}", data
    yield from ((f"{name}.pdf", data) for name, data in pdfs())
    yield (
        "bomb-cells.xlsx",
        lambda: zipped(xlsx("x", '<row r="1">' + '<c r="XFD1"><v>1</v></c>' * 2_000_000 + "</row>")),
    )
    yield (
        "bomb-strings.xlsx",
        lambda: zipped({**xlsx("x"), "xl/strings.xml": "<sst>" + "<si><t>a</t></si>" * 5_000_000 + "</sst>"}),
    )
    yield "string-99.xlsx", zipped(xlsx("x", '<row r="1"><c r="A1" t="s"><v>99</v></c></row>'))
    yield from plain()
    for suffix in SUFFIXES:
        yield f"zero.{suffix}", b""
        yield f"random.{suffix}", chance.randbytes(20_000)
    wholes = {kind: zipped(make("word " * 400)) for kind, make in KINDS.items()} | {"pdf": pdf("word " * 20, pages=3)}
    for suffix, whole in wholes.items():
        for at in range(7):
            yield f"cut-{at}.{suffix}", whole[: chance.randrange(1, len(whole) - 30)]
        for at in range(4):
            bad = bytearray(whole)
            for _ in range(20):
                bad[chance.randrange(len(bad))] = chance.randrange(256)
            yield f"flipped-{at}.{suffix}", bytes(bad)
