"""The Markdown reader of the core, which imports no plugin, finds the heading and the front matter that hookrag-text finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hookrag.components.readers import Markdown, first_heading
from hookrag_text.markdown import front_matter, heading_text, lines
from hypothesis import given, settings
from hypothesis import strategies as st


def first(text: str) -> str:
    """The first heading with #, as the scanner tells."""
    return next((heading_text(line) for kind, _, line in lines(text) if kind == "heading"), "")


HEADINGS = [
    "# A",
    "intro\n## B ##\n# C",
    "   ### C\n",
    "    # code\n#no\n####### no\n###### Yes",
    "```\n# no\n```\n# Yes",
    "~~~ `x`\n# no\n```\n~~~~\n# Yes",
    "````\n```\n# no\n````\n# Yes",
    "  ```\n# never closed",
    "- item\n\n  ```\n  # no\n  ```\n# Yes",
    "Use\n===\n# Yes",
    "> # quoted\n\n- # item\n\n# Yes",
    "text\r\n# A\r\n",
    "page\f# A",
    "```x``` is code\n# Yes",
    "- ```\n  # no\n  ```\n# Yes",
    "1. Run:\n\n    ```\n# no\n    ```\n# Yes",
    "",
]


@pytest.mark.parametrize("text", HEADINGS)
def test_the_first_heading_is_that_of_the_scanner(text: str) -> None:
    assert first_heading(text) == first(text)


LINES = st.sampled_from(
    ["# A", "## B ##", "   ### C", "    # code", "#no", "text", "", "  ", "- item", "  goes on", "> # quoted", "| a |", "---",
     "===", "```", "```py", "````", "~~~", "  ```", "   ~~~~"]
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.lists(LINES, max_size=15), st.sampled_from(["\n", "\r\n", "\f"]))
def test_the_first_heading_of_generated_texts(rows: list[str], newline: str) -> None:
    text = newline.join(rows)
    assert first_heading(text) == first(text)


FRONT = [
    "---\ntitle: A\n---\n# B\ntext\n",
    "---\ntitle: A\ntags:\n  - x\n- y\n# comment\n\nurl: 'b'\n...\nText",
    "---\r\ntitle: A\r\n---\r\nText",
    "---  \ntitle: A\n---\t\n---\nText",
    "---\n---\nText",
    "---\ntitle: never closed\n",
    " ---\ntitle: A\n---\nText",
    "----\ntitle: A\n----\nText",
    "text\n---\ntitle: A\n---\n",
    "---\nNot front matter, but text\n---\nText",
    '+++\ntitle = "A"\n+++\nText',
    "+++\nnot front matter, either\n+++\nText",
    "",
]


def read(text: str, folder: Path) -> str:
    path = folder / "page.md"
    path.write_bytes(text.encode())
    (document,) = Markdown().read(path, id="page")
    return document.text


@pytest.mark.parametrize("text", FRONT)
def test_front_matter_ends_where_the_scanner_ends_it(text: str, tmp_path: Path) -> None:
    plain = text.replace("\r\n", "\n")  # as a file is read
    assert read(text, tmp_path) == plain[front_matter(plain) :]


FRONT_LINES = st.sampled_from(
    [
        "---",
        "...",
        "title: A",
        "  - x",
        "# comment",
        "",
        "'quoted': 1",
        "--- ",
        "+++",
        'a = "b"',
        "[table]",
        "Just text.",
    ]
)


@settings(deadline=None, max_examples=200)
@given(st.lists(FRONT_LINES, max_size=8))
def test_front_matter_of_generated_texts(tmp_path_factory: pytest.TempPathFactory, rows: list[str]) -> None:
    text = "\n".join(rows)
    assert read(text, tmp_path_factory.getbasetemp()) == text[front_matter(text) :]
