from __future__ import annotations

import pytest
from hookrag import Document
from hookrag_chunking.markdown import outline
from hookrag_chunking.measured import Sections
from hookrag_text.markdown import LONGEST_HEADING, front_matter
from hypothesis import given, settings
from hypothesis import strategies as st

GUIDE = """\
# Guide

All of it.

## Install

### Linux

Run this:

```sh
# not a heading
apt install it

apt start it
```

### Windows ###
Click. Wait. Click again.

Use
---
| key | what |
|-----|------|
| a | first |
| b | second |

- one
- two
  goes on

  and on
- three
"""


def cut(text, title="", **options):
    (chunks,) = Sections(**options).chunk([Document("d", text, title)])
    return chunks


def told(text, title="", **options):
    return [(chunk.context, chunk.text) for chunk in cut(text, title, **options)]


def test_sections_have_the_path_of_their_headings_and_the_title_once():
    contexts = [chunk.context for chunk in cut(GUIDE, "Handbook")]
    assert contexts == [
        "Handbook > Guide",
        "Handbook > Guide > Install > Linux",
        "Handbook > Guide > Install > Windows",
        "Handbook > Guide > Use",
    ]
    assert [chunk.context for chunk in cut(GUIDE, "guide ")] == [one.removeprefix("Handbook > ") for one in contexts]
    assert [chunk.context for chunk in cut(GUIDE)] == [one.removeprefix("Handbook > ") for one in contexts]


def test_a_title_that_is_the_first_heading_with_its_marks_stands_once():
    assert told("# The `run` **command**\ntext", "The `run` **command**") == [
        ("The run command", "# The `run` **command**\ntext")
    ]


def test_a_heading_stays_with_its_text_and_one_without_text_with_the_next():
    assert [chunk.text.split("\n")[0] for chunk in cut(GUIDE)] == ["# Guide", "## Install", "### Windows ###", "Use"]
    assert told("## A\n## B\ntext") == [("A", "## A"), ("B", "## B\ntext")]
    assert told("before\n# A\ntext", "T") == [("T", "before"), ("T > A", "# A\ntext")]


def test_code_tables_and_lists_are_torn_only_where_they_do_not_fit():
    # the longest block has 13 words, the two blocks of a section do not fit together
    assert [chunk.text for chunk in cut(GUIDE, size=21)[1:]] == [
        "## Install\n\n### Linux\n\nRun this:\n\n```sh\n# not a heading\napt install it\n\napt start it\n```",
        "### Windows ###\nClick. Wait. Click again.",
        "Use\n---\n| key | what |\n|-----|------|\n| a | first |\n| b | second |",
        "- one\n- two\n  goes on\n\n  and on\n- three",
    ]
    assert [chunk.text for chunk in cut(GUIDE, size=8)[1:]] == [
        "## Install\n\n### Linux\n\nRun this:",
        "```sh\n# not a heading\napt install it",
        "apt start it\n```",
        "### Windows ###\nClick. Wait. Click again.",
        "Use\n---\n| key | what |\n|-----|------|",
        "| a | first |",
        "| b | second |",
        "- one\n- two\n  goes on\n\n  and on",
        "- three",
    ]


def test_headings_deeper_than_asked_do_not_cut():
    assert [(chunk.context, chunk.text[:10]) for chunk in cut(GUIDE, depth=1)] == [("Guide", "# Guide\n\nA")]
    assert [chunk.context for chunk in cut(GUIDE, depth=2)] == ["Guide", "Guide > Install", "Guide > Use"]


def test_what_looks_like_a_heading_and_is_none():
    text = "#hash\n\n    # code\n\n~~~\n# x\n~~~\n\n> # quoted\n\ntwo\nlines\n---\n\n#######\n"
    assert [section.path for section in outline(text).sections] == [()]


def test_code_in_lists_quotes_and_years_begin_no_section_and_no_block():
    text = "- ```sh\n  # not a heading\n  ```\n# A\n1. Run:\n\n    ```\n    - x\n\n    y\n    ```\n# B"
    assert [section.path for section in outline(text).sections] == [(), ("A",), ("B",)]
    assert [section.path for section in outline("> quoted\n---\ntext").sections] == [()]
    assert list(outline("The war lasted until\n1945. Then it was over.").blocks) == [0]


def test_lists_by_letters_and_typographic_bullets_are_torn_between_items():
    assert [chunk.text for chunk in cut("a) one two\nb) three\n\n\u2022 four five\n\u2022 six", size=3)] == [
        "a) one two",
        "b) three",
        "\u2022 four five",
        "\u2022 six",
    ]


def test_levels_go_up_again():
    paths = [section.path for section in outline("### c\n1\n# a\n2\n### d\n3\n## b\n4\n").sections]
    assert paths == [("c",), ("a",), ("a", "d"), ("a", "b")]


def test_headings_after_a_page_break_and_with_any_newline():
    text = "# One\nfirst\f# Two\r\nsecond\r# Three\u2028third"
    assert told(text) == [("One", "# One\nfirst"), ("Two", "# Two\r\nsecond"), ("Three", "# Three\u2028third")]


def test_a_path_stays_short_whatever_the_heading():
    (chunk, *_) = cut("# " + "word " * 2_000 + "\ntext")
    assert len(chunk.context) <= LONGEST_HEADING + 1
    assert chunk.context.endswith("word\u2026")


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("---\ntitle: A\ntags:\n  - x\n- y\n# comment\n\nurl: 'b'\n---\n# T\nx", "# T\nx"),
        ("\ufeff---\r\ntitle: A\r\n...\r\nText", "Text"),
        ('+++\ntitle = "A"\n[extra]\na = 1\n+++\nText', "Text"),
        ("---\nNot front matter, but text between rules\n---\nText", None),
        ("---\ntitle: never closed\n", None),
        (" ---\ntitle: A\n---\nText", None),
    ],
)
def test_front_matter_is_no_text(text, rest):
    assert text[front_matter(text) :] == (text if rest is None else rest)
    if rest is not None:
        assert "".join(chunk.text for chunk in cut(text)) == rest


LINES = st.sampled_from(
    ["# A", "## B", "### C #", "Text here. More of it.", "", "  ",
     "- item", "  goes on", "1. first", "| a | b |", "|---|---|",
     "```", "~~~", "---", "===", "    code", "> quote", "x" * 150,
     "今天天气很好。", "e\u0301\u200d👩‍🚀", "\f", "***", "- - -", "+"]
)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(
    st.lists(LINES, max_size=25),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.integers(1, 12),
    st.integers(1, 6),
    st.data(),
)
def test_sections_are_exact_complete_and_of_the_size(lines, newline, size, depth, data):
    text = newline.join(lines)
    overlap = data.draw(st.integers(0, size - 1))
    chunks = cut(text, "T", size=size, depth=depth, overlap=overlap)
    covered = set(range(front_matter(text)))
    for chunk in chunks:
        assert chunk.text == text[chunk.start : chunk.end] == chunk.text.strip() != ""
        assert len(chunk.text.split()) <= size
        covered.update(range(chunk.start, chunk.end))
    assert all(character.isspace() for at, character in enumerate(text) if at not in covered)
    assert [chunk.start for chunk in chunks] == sorted({chunk.start for chunk in chunks})
    found = outline(text, depth=depth).sections
    assert [one.end for one in found[:-1]] == [one.start for one in found[1:]]


def test_a_depth_that_no_heading_has_is_refused():
    with pytest.raises(ValueError) as error:
        Sections(depth=7)
    assert str(error.value) == "depth must be in [1, 6], got 7"
