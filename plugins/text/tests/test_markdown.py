from __future__ import annotations

import re

import pytest
from hookrag_text.markdown import CODE_SPAN, Scanner, blocks, front_matter, heading_text, item_text, lines
from hypothesis import given, settings
from hypothesis import strategies as st


def kinds(text: str) -> list[str]:
    return [kind for kind, _, _ in lines(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Use\n===\n\nUse\n---", "paragraph underline blank paragraph underline"),
        ("two\nlines\n===\n---", "paragraph text marks rule"),
        ("=====\nTitle\n=====\n", "marks text marks"),
        ("- one\n  goes on\nlazily\n\n  and on", "item text text blank paragraph"),
        ("1. a\n2) b\n\u2022 c\na) d\nB) e", "item item item item item"),
        ("| a | b |\n|---|---|\ntext", "row row paragraph"),
        ("> quote\nlazy\n---", "quote text rule"),
        ("~~~ `a`\n# x\n~~~\n```a`b\n", "fence code fence end paragraph"),
        ("- run:\n\n    ```sh\n    # x\n    ```\n", "item blank fence code fence end"),
        ("- ```sh\n  # x\n  ```\n# A", "item code fence end heading"),
        ("text\n\n    ```\n", "paragraph blank paragraph"),
        ("The war lasted until\n1945. Then it was over.", "paragraph text"),
        ("1889. Begun.\n1890. Opened.", "item item"),
        ("its constant, K\nI) it was", "paragraph text"),
        ("a) its constant\nwas high\nb) it was", "item text item"),
        ("\t# code", "paragraph"),
        ("#no\n-no\n+1\n12.5\n1945.", "paragraph text text text text"),
        ("- - -\n- -\n* *\n**\n_ _", "rule item item marks marks"),
    ],
)
def test_kinds_of_lines(text, expected):
    assert " ".join(kinds(text)) == expected


def test_lines_end_at_any_newline_and_at_a_page():
    assert list(lines("a\nb\r\nc\rd\fe\u2028f\u2029\n")) == [
        ("paragraph", 0, "a"), ("text", 2, "b"), ("text", 5, "c"), ("text", 7, "d"), ("text", 9, "e"), ("text", 11, "f"),
        ("blank", 13, ""),
    ]  # fmt: skip
    assert list(lines("")) == []
    assert list(lines("x\n# A", 2)) == [("heading", 2, "# A")]


def test_blocks_are_lines_that_belong_together():
    text = "+++\na = 1\n+++\nUse\n---\n# A #\ntext\ngoes on\n- a\n  b\n- ```\n  x\n  ```\n> q\nlazy\n***\n"
    text += "| a |\n| b |\n\n~~~\n\n"
    assert [(block.kind, block.level, text[block.start : block.end]) for block in blocks(text)] == [
        ("front matter", 0, "+++\na = 1\n+++"),
        ("heading", 2, "Use\n---"),
        ("heading", 1, "# A #"),
        ("paragraph", 0, "text\ngoes on"),
        ("item", 0, "- a\n  b"),
        ("item", 0, "- ```\n  x\n  ```"),
        ("quote", 0, "> q\nlazy"),
        ("rule", 0, "***"),
        ("row", 0, "| a |"),
        ("row", 0, "| b |"),
        ("code", 0, "~~~\n"),
    ]


def test_item_text_begins_behind_the_marker():
    text = "  12)   salt\n-\ntext"
    assert [item_text(text, start, end) for start, end in [(0, 12), (13, 14), (15, 19)]] == [8, 14, 15]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("# Plain", "Plain"),
        ("## Closed ##  ", "Closed"),
        ("# C# and F#", "C# and F#"),
        ("# **Bold** and `code` {#anchor}", "Bold and code"),
        ("# ![logo](x.png) The [docs][1]", "logo The docs"),
        ("#", ""),
        ("# 2 * 3 * 4", "2 * 3 * 4"),
    ],
)
def test_a_heading_is_told_without_its_marks(line, expected):
    assert heading_text(line) == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("`a` b ``c ` d`` e", ["`a`", "``c ` d``"]),
        ("`x`` [9]", []),
        ("```x``` is code", ["```x```"]),
        ("a ` b\nc ` d", []),
        ("``", []),
    ],
)
def test_code_spans(text, code):
    assert [found[0] for found in re.finditer(CODE_SPAN, text)] == code


PIECES = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        ["# A", "text", "- ", "1. ", "1889. ", "a) ", "  ", "    ", "\t", "```", "~~~~", "`", "---", "===", "| a |", "> ",
         "\n", "\n", "\r\n", "\r", "\f", "\u2028", "+++", "title: x"]
    ),
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=30).map("".join)


@settings(deadline=None)
@given(TEXTS)
def test_lines_and_blocks_are_exact_and_complete(text):
    at = 0
    for _, start, line in lines(text):
        assert re.fullmatch(r"\r\n|[\n\r\f\u2028\u2029]|", text[at:start])
        assert text[start : start + len(line)] == line
        at = start + len(line)
    assert len(text) - at <= 2
    at = 0
    for block in blocks(text):
        assert at <= block.start <= block.end
        assert not text[at : block.start].strip("\ufeff" if not at else None).strip()
        assert 1 <= block.level <= 6 if block.kind == "heading" else block.level == 0
        at = block.end
    assert not text[at:].strip()


@settings(deadline=None)
@given(TEXTS, st.data())
def test_what_is_decided_of_a_line_stays(text, data):
    scanner = Scanner()
    for _, _, line in lines(text):
        begun = line[: data.draw(st.integers(0, len(line)))]
        decided = not scanner.undecided(begun)
        fenced = scanner.fenced
        kind = scanner.kind(line)
        if decided:
            assert (kind == "code") == fenced
            assert scanner.fenced == fenced


@pytest.mark.parametrize(
    "unit", ["- ", "`", "``` ", "> ", "- a\n", "  - a\n", "#", "- \n", "*", "1. ", "| ", "\tx\n", "===\n", "a) "]
)
def test_a_megabyte_of_anything_takes_no_quadratic_time(unit):
    # a quadratic rule would need hours here and run into the suite's time limit
    text = unit * (1_000_000 // len(unit))
    assert sum(block.end - block.start for block in blocks(text)) > 0
    front_matter("---\n" + text)
