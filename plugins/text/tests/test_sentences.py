from __future__ import annotations

import pytest
from hookrag_text.sentences import spans
from hypothesis import given, settings
from hypothesis import strategies as st

SENTENCES = r"""
Dr. Lee met Mrs. Jones.|It rained.
The price is $3.14 per unit.|Buy 2.5 kg.
He lives in the U.S. and works.|She does not.
They moved to the U.S.|The city was new.
We left at 5 p.m. on Monday.|Then we slept.
See Fig. 3 for details.|It shows growth.
He said "Stop!" and left.|Nobody moved.
"It works," she said.|"Really?"|Yes.
J. R. R. Tolkien wrote it.|It sold well.
So wrote J. A. Hobson and T. I. Lee.|They agreed.
E. coli and S. aureus were found.|Both grew.
Lee et al. reported this.|We agree.
Use lists, maps, etc.|The rest is easy.
What is it?|A tool!|Great...|Then more.
Visit www.example.com for more.|Or ask.
Version 2.0.1 fixes it.|Install it with pip.
Open the file.|pip reads it.
Yahoo! is a company.|So is Google.
The end.[1]|Next begins.[2][3]|Last.
(He was late.)|She was not.
In Jan. 2020 it began.|In Feb. it ended.
The No. 1 song.|No.|Yes.
Der Krieg endete am 3. Oktober 1990.|Er kam nie wieder.
Das ist z.B. ein Test.|Noch einer.
Er kam z. B. gestern.|Heute nicht.
Node.js is fast.|So is ASP.NET Core.
He has a Ph.D. in mathematics.|She has none.
Washington, D.C. is hot.|Paris is not.
The answer is in vitamin C.|The rest is not.
I cannot wait... to see it.|Never mind.
Wait.|What?!|No way!!
1. First do this.|Then that.
The temperature fell to 12.|The lake froze.
In 1999.|Officials came.
¿Qué es esto?|¡Es una casa!|Sí.
Quoi ?|Rien !|Bien.
The case Roe v. Wade was won.|It was long.
The game was out .|Critics liked it .
Use .NET here.|It runs.
"""
WITHOUT_SPACES = """
今天天气很好。|我们去公园吧！|你去吗？
彼は「はい。」と言った。|そして帰った。
"""
OTHER_SCRIPTS = """
यह एक वाक्य है।|यह दूसरा है।
هل هذا سؤال؟|نعم هذا سؤال.
"""


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in spans(text)]


@pytest.mark.parametrize("line", [line for line in (SENTENCES + OTHER_SCRIPTS).split("\n") if line])
def test_sentences_end_where_a_reader_ends_them(line):
    expected = line.split("|")
    assert split(" ".join(expected)) == expected


@pytest.mark.parametrize("line", [line for line in WITHOUT_SPACES.split("\n") if line])
def test_full_stops_of_scripts_without_spaces_need_no_space(line):
    expected = line.split("|")
    assert split("".join(expected)) == expected


def test_what_has_no_letter_belongs_to_the_sentence_before():
    assert split("We said so. ''\n\n...") == ["We said so. ''", "..."]


def test_an_abbreviation_that_can_stand_last_does_before_a_function_word():
    assert split("It was bought by Example Inc. The price fell.") == [
        "It was bought by Example Inc.",
        "The price fell.",
    ]
    assert split("It was bought by Example Inc. Germany paid.") == ["It was bought by Example Inc. Germany paid."]


def test_markdown_is_cut_into_headings_items_rows_rules_and_fences():
    text = "# Title. With dot\nIntro line\n\n- one. Two\n- three\n\n| a. b | c |\n|---|---|\n***\n"
    text += "```py\nx = 1.\n\ny = 2\n```\nAfter."
    assert split(text) == [
        "# Title. With dot", "Intro line", "- one.", "Two", "- three", "| a. b | c |", "|---|---|", "***",
        "```py\nx = 1.\n\ny = 2\n```", "After.",
    ]  # fmt: skip


def test_a_fence_that_is_never_closed_reaches_the_end_and_a_code_span_is_no_fence():
    assert split("A b.\n~~~\nx. Y\n\nz") == ["A b.", "~~~\nx. Y\n\nz"]
    assert split("```x``` is code. It runs.\n\nYes.") == ["```x``` is code.", "It runs.", "Yes."]


def test_code_in_a_list_and_with_backticks_behind_tildes_is_one_block():
    assert split("1. Run it:\n\n    ```sh\n    a. B\n\n    c\n    ```\n2. Done.") == [
        "1. Run it:",
        "```sh\n    a. B\n\n    c\n    ```",
        "2. Done.",
    ]
    assert split("- ```\n  a. B\n  ```\nSo it is. Yes.") == ["- ```\n  a. B\n  ```", "So it is.", "Yes."]
    assert split("~~~ `q`\na. B\n~~~\nYes.") == ["~~~ `q`\na. B\n~~~", "Yes."]


def test_an_underlined_heading_is_one_sentence_and_its_underline_another():
    assert split("Part 2. Use\n===\nA. Yes.\n\n==\n--\nNo.") == ["Part 2. Use", "===", "A. Yes.", "==", "--", "No."]


def test_wrapped_lines_are_joined_and_short_lines_are_not():
    wrapped = (
        "The committee met on Tuesday in the old hall of\nVienna and decided at once, against the advice\n"
        "of its chair, to adjourn. Nobody was surprised\nat all."
    )
    assert split(wrapped) == [
        "The committee met on Tuesday in the old hall of\nVienna and decided at once, against the advice\n"
        "of its chair, to adjourn.",
        "Nobody was surprised\nat all.",
    ]
    assert split("Getting started\nInstall it\r\nRun it") == ["Getting started", "Install it", "Run it"]
    assert split("These are all of the things that you will need:\nflour and salt") == [
        "These are all of the things that you will need:",
        "flour and salt",
    ]


@pytest.mark.parametrize("text", ["", " \n\t\u2003\r\n", "\x1c\x1f"])
def test_white_space_has_no_sentences(text):
    assert spans(text) == []


PIECES = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [
            ". ",
            "! ",
            "?\n",
            "。",
            "\r\n",
            "\r",
            "```",
            "~~~\n",
            "\n# ",
            "\n- ",
            "\n| ",
            "Dr. ",
            "U.S. ",
            "1. ",
            '."',
            " \u0301",
            "\U0001f600",
            "שלום ",
            "\0",
            "\u2028",
            "\n\n",
            "\n=",
            "\n---\n",
            "\n```\n",
            "[1]",
        ]
    ),
)


@settings(deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join))
def test_every_character_that_is_no_white_space_is_in_one_trimmed_span_in_order(text):
    found = spans(text)
    outside = 0
    for start, end in found:
        assert outside <= start < end <= len(text)
        assert not text[outside:start].strip()
        assert text[start:end] == text[start:end].strip()
        outside = end
    assert not text[outside:].strip()


@pytest.mark.parametrize("unit", ["1. ", "`", "a. ", "* ", "\n- ", "。", "] ", ". ", '"', "| \n", "x" * 50 + "\n"])
def test_a_megabyte_of_anything_takes_no_quadratic_time(unit):
    # a quadratic rule would need hours here and run into the suite's time limit
    text = unit * (1_000_000 // len(unit))
    assert sum(end - start for start, end in spans(text)) > 0


def test_a_sentence_goes_on_on_the_next_page():
    text = "It is a long sentence that fills most of the line and then\fgoes on. Another."
    assert [text[start:end] for start, end in spans(text)] == [text[:67], "Another."]


def test_an_underlined_heading_comes_after_the_lines_above_it():
    text = "- an item\nA heading\n=========\nText."
    assert [text[start:end] for start, end in spans(text)] == ["- an item", "A heading", "=========", "Text."]
    assert spans("-\n0\n=") == [(0, 1), (2, 3), (4, 5)]
