"""The scanner of Markdown beside markdown-it-py: headings, fenced code and list items on the same lines.

The purposeful differences are in `DIFFERENT`, each with what both say; generated documents that show one of them are left out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from hookrag_text.markdown import blocks, front_matter, lines
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("*/*/README.md")])


class Found(NamedTuple):
    """What is outside quotes, as lines from 0, ends exclusive: headings with their level, code with its fences, and items as
    far as the text goes that they begin with."""

    headings: list[tuple[int, int, int]]
    code: list[tuple[int, int]]
    items: list[tuple[int, int]]


def ours(text: str) -> Found:
    found = Found([], [], [])
    begin = -1  # of the code that is open
    before = ""
    for number, (kind, _, _) in enumerate(lines(text)):
        if kind == "fence":
            begin = number
        elif kind in ("code", "fence end") and before == "item":
            begin = number - 1
        if kind == "fence end":
            found.code.append((begin, number + 1))
            begin = -1
        before = kind
    if begin >= 0:
        found.code.append((begin, text.count("\n") + 1))
    for block in blocks(text):
        first, behind = text.count("\n", 0, block.start), text.count("\n", 0, block.end) + 1
        if block.kind == "heading":
            found.headings.append((first, behind, block.level))
        elif block.kind == "item":
            found.items.append((first, behind))
    opened = [first for first, _ in found.code]
    return found._replace(items=[(first, first if first in opened else behind) for first, behind in found.items])


def tokens(text: str) -> list[Token]:
    return MarkdownIt("commonmark").parse(text)


def oracle(text: str) -> Found:
    found = Found([], [], [])
    quotes = 0
    parsed = tokens(text)
    for token, after in zip(parsed, [*parsed[1:], None], strict=True):
        quotes += token.nesting if token.type.startswith("blockquote") else 0
        if token.map is None or quotes:
            continue
        first, behind = token.map
        if token.type == "heading_open":
            found.headings.append((first, behind, int(token.tag[1])))
        elif token.type == "fence":
            found.code.append((first, behind))
        elif token.type == "list_item_open":
            assert after is not None
            if after.type == "fence" and after.map is not None and after.map[0] == first:
                behind = first
            else:
                behind = first + 1
                if after.type == "paragraph_open" and after.map is not None and after.map[0] == first:
                    behind = after.map[1]
            found.items.append((first, behind))
    return found


SAME = [
    "# A\n## B ##\n   ### C\n#\n###### F\n####### no\n#no\n\\# no",
    "Use\n===\n\nUse\n---\nUse\n -\nUse\n= =\n",
    "text\n***\ntext\n- - -\n_ _ _\n\n---\n",
    "```\n# x\n```\n~~~ py `q`\n- x\n~~\n~~~~\n```a`b\n",
    "````\n```\n````\n   ```\n   x\n  ```\n",
    "- a\n- b\n  goes on\nlazily\n\n  and on\n- c",
    "1. a\n   1. b\n   2. c\n\n2. d\n",
    "- a\n\n  ```\n  # x\n  ```\n- b",
    "10. a\n\n    ```sh\n    # x\n    ```\n    b\n",
    "- a\n  - b\n\n    ```\n    x\n    ```\n\n  ```\n  y\n  ```\n# H",
    "- ```\n  # x\n  ```\n\ntext\n# H",
    "1.  ~~~sh\n    # x\n    ~~~\n2.  b",
    "- a\n\nb\n\n    # code\n",
    "> # quoted\n> text\n---\n# H",
    "> q\n- a\n> q\n\n- b",
    "text\n-\n\ntext\n*\n1.\ntext",
    "-\n- a\n*\n",
    "text\n1. a\n- b\n",
    "\t# code\n",
    "-\ta\n\n\t```\n\tx\n\t```\n",
    "# A\r\n\r\n- a\r\n```\r\nx\r\n```\r\n".replace("\r\n", "\n"),
]


@pytest.mark.parametrize("text", SAME)
def test_headings_code_and_items_are_those_of_commonmark(text: str) -> None:
    assert ours(text) == oracle(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_pages_of_this_repository_are_read_alike(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert ours(text) == oracle(text)


LINES = st.sampled_from(
    ["# A", "## B ##", "   ### C", "#", "#no", "Text here.", "more text", "1889 text", "- item", "* other", "+ third",
     "1. first", "1) first", "  goes on", "   on", "  - nested", "   - nested", "  1. nested", "-", "*", "1.",
     "```", "```py", "````", "~~~", "~~~ `x`", "  ```", "   ```", "    ```", "     ~~~", "```x```", "- ```", "1. ~~~",
     "---", "===", "--", "***", "- - -", "  ---", "> quote", "> - quote", "", "", "  "]
)  # fmt: skip


def _differs(text: str) -> bool:
    """Whether the text shows one of the differences below."""
    if front_matter(text):
        return True
    kinds = [kind for kind, _, _ in lines(text)]
    rows = text.split("\n")
    for number, row in enumerate(rows[1:], 1):
        underline = re.fullmatch(r" {0,3}(=+|-+)[ \t]*", row) is not None
        if underline and kinds[number] != "underline" and kinds[number - 1] in ("paragraph", "text", "marks"):
            return True  # below several lines
        if (
            re.fullmatch(r" {0,3}(?:[-*+]|1[.)])[ \t]*", row)
            and kinds[number - 1] in ("text", "marks")
            and "quote" in kinds
        ):
            return True  # an empty item behind the lazy line of a quote
    for token in tokens(text):
        if token.type == "code_block" or (token.type == "heading_open" and token.level):
            return True
        if token.type == "fence" and token.level and token.map is not None:
            last = rows[token.map[1] - 1].strip()
            if token.map[1] - token.map[0] < 2 or len(last) < len(token.markup) or set(last) != {token.markup[0]}:
                return True  # its item ends before it is closed
    return False


@settings(deadline=None, max_examples=300)
@given(st.lists(LINES, max_size=12))
def test_generated_documents_are_read_alike(rows: list[str]) -> None:
    text = "\n".join([*rows, "end"])
    assume(not _differs(text))
    assert ours(text) == oracle(text)


DIFFERENT = {
    "a form feed ends a line": ("text\f# A", Found([(0, 1, 1)], [], []), Found([], [], [])),
    "front matter": ("---\na: 1\n---\n", Found([], [], []), Found([(1, 3, 2)], [], [])),
    "an underlined heading has one line": ("two\nlines\n---\n", Found([], [], []), Found([(0, 3, 2)], [], [])),
    "a heading in an item is none": ("- # A\n", Found([], [], [(0, 1)]), Found([(0, 1, 1)], [], [(0, 1)])),
    "nor is it underlined": ("- A\n  ===\n", Found([], [], [(0, 2)]), Found([(0, 2, 1)], [], [(0, 1)])),
    "a heading ends a list": (
        "- a\n# B\n    - c\n",
        Found([(1, 2, 1)], [], [(0, 1), (2, 3)]),
        Found([(1, 2, 1)], [], [(0, 1)]),
    ),
    "no code by indentation": ("    - a\n", Found([], [], [(0, 1)]), Found([], [], [])),
    "typographic bullets": ("\u2022 a\n", Found([], [], [(0, 1)]), Found([], [], [])),
    "letters": ("a) b\n", Found([], [], [(0, 1)]), Found([], [], [])),
    "any number below text": ("text\n2. a\n", Found([], [], [(1, 2)]), Found([], [], [])),
    "a fence outlasts its item": (
        "- ```\n# A\n",
        Found([], [(0, 3)], [(0, 0)]),
        Found([(1, 2, 1)], [(0, 1)], [(0, 0)]),
    ),
    "an empty item below a lazy line": ("> q\ntext\n-\n", Found([], [], []), Found([], [], [(2, 3)])),
    "HTML is text": ("<div>\n# A\n</div>\n", Found([(1, 2, 1)], [], []), Found([], [], [])),
}


@pytest.mark.parametrize(("text", "here", "there"), DIFFERENT.values(), ids=DIFFERENT)
def test_where_we_differ_on_purpose(text: str, here: Found, there: Found) -> None:
    assert (ours(text), oracle(text)) == (here, there)
