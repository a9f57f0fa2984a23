from __future__ import annotations

import subprocess
import sys

import hookrag_text
import pytest


def test_the_package_gives_its_modules_and_loads_them_when_they_are_used():
    program = (
        "import sys, hookrag_text\n"
        "assert not [name for name in sys.modules if name.startswith(('hookrag_text.', 'hookrag.', 'regex'))]\n"
        "from hookrag_text import sentences\n"
        "assert sentences.spans('Yes. No.') == [(0, 4), (5, 8)]\n"
        "assert hookrag_text.markdown.heading_level('## A') == 2\n"
        "assert 'regex' not in sys.modules\n"
        "assert hookrag_text.graphemes.last_break('ab', 0, 1) == 1\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert {name for name in hookrag_text.__all__ if getattr(hookrag_text, name)} == {
        "graphemes",
        "markdown",
        "sentences",
    }


def test_a_name_that_it_does_not_have_is_an_error():
    with pytest.raises(AttributeError) as error:
        _ = hookrag_text.words
    assert str(error.value) == "module 'hookrag_text' has no attribute 'words'"
