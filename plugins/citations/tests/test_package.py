from __future__ import annotations

import subprocess
import sys

import hookrag_citations
import pytest


def test_importing_the_package_loads_nothing_else():
    program = (
        "import sys, hookrag_citations\n"
        "assert not [name for name in sys.modules if name.startswith(('hookrag_citations.', 'hookrag.', 'hookrag_text'))]\n"
        "from hookrag_citations import citations\n"
        "assert citations('', []) == ()\n"
        "assert 'hookrag_citations.generator' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_public_name_is_there_and_says_what_it_is():
    assert set(hookrag_citations.__all__) == set(hookrag_citations._WHERE)
    for name in hookrag_citations.__all__:
        assert getattr(hookrag_citations, name).__doc__, name


def test_a_name_that_it_does_not_have_is_an_error():
    with pytest.raises(AttributeError) as error:
        _ = hookrag_citations.cite
    assert str(error.value) == "module 'hookrag_citations' has no attribute 'cite'"
