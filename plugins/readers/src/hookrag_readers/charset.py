"""Bytes of an HTML file to text, as a browser finds the encoding (WHATWG HTML, "determining the character encoding")."""

from __future__ import annotations

import codecs
import re

_META = re.compile(rb"""<meta\s[^>]{0,512}?charset\s*=\s*["']?\s*([\w.:-]{1,40})""", re.IGNORECASE)
_XML = re.compile(rb"""\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]{1,40})["']""")
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_KNOWN = re.compile(
    r"utf-8|iso8859-\d+|cp12\d\d|cp(?:866|874|932|949)|koi8-[ru]|gb(?:2312|k|18030)|hz|big5(?:hkscs)?|euc_(?:jp|kr)|shift_jis"
    r"|iso2022_jp|mac-(?:roman|cyrillic)|tis-620"
)
# What pages mean by a label, where that is more than it says (WHATWG Encoding, "names and labels").
_MEANT = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "tis-620": "cp874",
}
_PRESCAN = 4096


def decode(data: bytes) -> str:
    """The text: by its byte order mark, else by its declaration, else UTF-8, else Windows-1252; bad bytes become U+FFFD.

    >>> decode(b'<meta charset="iso-8859-1">\\x80 5')
    '<meta charset="iso-8859-1">€ 5'
    """
    for mark, name in _BOMS:
        if data.startswith(mark):
            return data[len(mark) :].decode(name, "replace")
    for start, name in ((b"<\0", "utf-16-le"), (b"\0<", "utf-16-be")):
        if data.startswith(start):
            return data.decode(name, "replace")
    declared = _declared(data[:_PRESCAN])
    if declared:
        return data.decode(declared, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _declared(start: bytes) -> str:
    """The codec that the file names for itself; "" if it names none or one that is none."""
    found = _META.search(start) or _XML.match(start)
    if not found:
        return ""
    label = found[1].decode("ascii", "replace")
    if label.lower().startswith("utf-16"):
        return "utf-8"  # it was read as ASCII just now
    try:
        name = codecs.lookup(label).name
    except LookupError:
        return ""
    name = _MEANT.get(name, name)
    return name if _KNOWN.fullmatch(name) else ""
