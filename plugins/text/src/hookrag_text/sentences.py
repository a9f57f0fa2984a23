"""Where sentences begin and end, by rule: no model, nothing to download, any script, linear time.

The rule prefers a long sentence to a torn one. First the text is cut into blocks, line by line:

- a blank line ends a block; a Markdown heading, a list item, a table row and a horizontal rule begin one; a heading, a
  row and a rule are one line; a fenced code block is one block, whatever is in it;
- any other newline ends a block too, unless it is a wrap: the line has at least 40 characters and no colon at its end,
  and either the next line begins with a small letter, or its first word would not have fitted into the paragraph's
  longest line (of at most 120 characters).

A block is cut after `. ! ? ...` and their kin, together with the closing quotes, brackets and reference marks ([3])
behind them:

- full stops of scripts without spaces and of Indic, Ethiopic and Khmer scripts end a sentence wherever they stand,
  except before a comma or a quotative particle;
- the others end one only before white space, and not before a small letter, unless a full stop follows a plain word of
  four small letters or more ("Open the file. pip reads it.");
- a full stop does not end one after a title or an abbreviation (Dr. Fig. e.g.), an initial (J. Smith), the number of a
  list item or a German ordinal (am 3. Oktober); where such an abbreviation can also stand last ("in the U.S."), a
  following function word (The, It, However) decides that it does;
- what has no letter and no digit (a stray quote) belongs to the sentence before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hookrag_text.markdown import lines

# Chunks are made by this rule: whoever changes it raises the versions of the chunkers that use it: `sentences`, `recursive`,
# `sections` and `semantic`.
_TEXT = frozenset(("paragraph", "text", "quote"))
_WRAP, _WIDEST = 40, 120

_CLOSERS = "\"'\u00bb\u2019\u201d\u203a)\\]}\u300d\u300f\u3009\u300b\u3011\uff09*_"
_ANYWHERE = "\u3002\uff01\uff1f\uff61\uff0e\u0964\u0965\u1362\u17d4\u104b"
_SPACED = ".!?\u2026\u061f\u06d4\u0589\u203c\u2047\u2048\u2049"
_END = re.compile(
    rf"(?:(?P<anywhere>[{_ANYWHERE}][{_ANYWHERE}{_SPACED}]*)|(?P<spaced>[{_SPACED}]+))(?:[{_CLOSERS}]|\[\d{{1,4}}\])*"
)
_QUOTES_ON = frozenset("\u3001\uff0c\u3068,;")
_OPENERS = frozenset("\"'([{<*_`\u00ab\u2018\u201c\u201e\u201a\u2039\u00bf\u00a1")
_NEXT = re.compile(r"\w+(?![\w.])")
_TOKEN = 40


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NEVER_LAST = _words(
    """adj adm adv approx assn asst aug brig bros bzw ca capt cf cmdr col cpl dec dept dr ed eds e.g eg esp est evtl feb
    fr ft gen ggf gov hon hosp i.e ie inkl jan jul jun lt maj messrs mio misc mlle mme mr mrs ms mt mult nov nr oct op
    orig pres prof rep resp rev sen sep sept sgt sog spp st subsp supt u.a univ var viz vgl vs z.b zb"""
)
_BEFORE_NUMBER = _words("art bd ch chap eq eqs fig figs no nos par pp ref refs sec sect tab tbl vol vols ver")
_MAYBE_LAST = _words("al assoc ave blvd co corp etc ff inc jr ltd max min mfg rd sq sr usw")
_ORDINAL = _words("am im der die das dem den des vom zum zur bis ab seit und jeden beim")
_STARTERS = _words(
    """a after all also although an and another as at because before both but by during each even for from he her here
    his how however i if in instead it its many more moreover most my no not now of on once one only or other our she
    since so some such than that the their then there therefore these they this those thus to under unlike until we what
    when where whether which while who why with without you your der die das es er sie wir ein eine im"""
)


def spans(text: str) -> list[tuple[int, int]]:
    """The (start, end) characters of the sentences, in order: without outer white space, none empty, none overlapping.

    Every character that is not white space lies in one of them.

    >>> text = "Dr. Lee paid $3.50. Why? It was 5 p.m. in the U.S. The rest:\\n- one\\n- two"
    >>> [text[start:end] for start, end in spans(text)]
    ['Dr. Lee paid $3.50.', 'Why?', 'It was 5 p.m. in the U.S.', 'The rest:', '- one', '- two']
    """
    found: list[tuple[int, int]] = []
    for start, end, whole in _blocks(text):
        first, inside = start, 0
        for cut in (*(() if whole else _cuts(text, start, end)), end):
            begin, stop = _trimmed(text, first, cut)
            first = cut
            if begin == stop:
                continue
            if inside and not any(map(str.isalnum, text[begin:stop])):
                found[-1] = found[-1][0], stop
            else:
                found.append((begin, stop))
                inside += 1
    return found


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[end - 1].isspace():
        end -= 1
    while start < end and text[start].isspace():
        start += 1
    return start, end


def _blocks(text: str) -> Iterator[tuple[int, int, bool]]:
    """(start, end, whether it is one sentence as it stands) of each block: together they are the whole text."""
    paragraph: list[tuple[int, str]] = []  # the lines that may still go on, with where they start
    code = -1  # where the code that is not closed yet begins
    for kind, start, line in lines(text):
        if kind in _TEXT:
            paragraph.append((start, line))
        elif kind == "code" or kind == "fence end":
            if code < 0:  # an item opened it
                code = paragraph.pop()[0]
            if kind == "fence end":
                yield code, start + len(line), True
                code = -1
        else:
            heading = paragraph.pop()[0] if kind == "underline" and paragraph else -1
            yield from _paragraph(paragraph)
            paragraph = []
            if heading >= 0:
                yield heading, start, True  # it is one sentence
            if kind == "item":
                paragraph.append((start, line))
            elif kind == "fence":
                code = start
            elif kind != "blank":
                yield start, start + len(line), True
    yield from _paragraph(paragraph)
    if code >= 0:
        yield code, len(text), True


def _paragraph(lines: list[tuple[int, str]]) -> Iterator[tuple[int, int, bool]]:
    if not lines:
        return
    widest = max(len(line.rstrip()) for _, line in lines)
    start, before = lines[0][0], lines[0]
    for here in lines[1:]:
        if not _wraps(before[1].rstrip(), here[1].lstrip(), widest):
            yield start, before[0] + len(before[1]), False
            start = here[0]
        before = here
    yield start, before[0] + len(before[1]), False


def _wraps(line: str, after: str, widest: int) -> bool:
    if len(line) < _WRAP or line.endswith((":", "\uff1a")):
        return False
    if after[0].islower():
        return True
    return widest <= _WIDEST and len(line) + 1 + len(after.split(None, 1)[0]) > widest


def _cuts(text: str, start: int, end: int) -> Iterator[int]:
    """Where one sentence ends and another may begin, within a block."""
    while start < end and text[start].isspace():
        start += 1
    for found in _END.finditer(text, start, end):
        after = found.end()
        if after < end and (_anywhere(text, after) if found["anywhere"] else _spaced(text, start, found, end)):
            yield after


def _anywhere(text: str, after: int) -> bool:
    return text[after] not in _QUOTES_ON


def _spaced(text: str, start: int, found: re.Match[str], end: int) -> bool:
    if not text[found.end()].isspace():
        return False
    following = found.end()
    while following < end and (text[following].isspace() or text[following] in _OPENERS):
        following += 1
    if following == end:
        return True
    dot = found["spaced"] == "."
    before = text[max(start, found.start() - _TOKEN) : found.start()].rsplit(None, 1) if dot else []
    token = before[-1].lstrip("\"'([{<*_\u201c\u2018\u00ab\u201e").rpartition("\u2014")[2] if before else ""
    if dot and text[found.start() - 1 : found.start()].isspace():
        return text[following].isupper()
    word = token.lower()
    if text[following].islower():
        return dot and token.isalpha() and token.islower() and len(token) > 3 and not _abbreviated(word)
    if not dot or found.end() > found.end("spaced"):
        return True
    next_word = _NEXT.match(text, following, following + _TOKEN)
    starter = next_word is not None and next_word[0].lower() in _STARTERS
    if word in _NEVER_LAST:
        return False
    if word in _BEFORE_NUMBER:
        return not text[following].isdecimal()
    if token.isdecimal():
        if found.start() - len(token) <= start:
            return False
        return len(token) > 2 or len(before) < 2 or before[0].rsplit(None, 1)[-1].lower() not in _ORDINAL
    if _abbreviated(word) or (len(token) == 1 and token.isalpha()):
        return starter
    return True


def _abbreviated(word: str) -> bool:
    letters = word.split(".")
    return (
        word in _NEVER_LAST or word in _MAYBE_LAST or (len(letters) > 1 and all(0 < len(part) < 3 for part in letters))
    )
