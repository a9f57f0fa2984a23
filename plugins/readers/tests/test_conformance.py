from __future__ import annotations

from hookrag.testing import parametrize_checks
from hookrag_readers.html import Html


@parametrize_checks("reader", lambda folder: Html())
def test_conformance(check, make):
    check(make)
