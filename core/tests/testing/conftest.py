"""What every table of bad components is held to: the named checks fail, no others, and the message tells what to write."""

from __future__ import annotations

import pytest
from hookrag.testing import run_checks


@pytest.fixture
def fails():
    """A function that runs the checks of a kind and compares the failures."""

    def compare(kind, make, names, text, expected_failures=None):
        results = run_checks(kind, make, expected_failures=expected_failures or {})
        failed = {result.check: result.message for result in results if result.outcome == "failed"}
        assert sorted(failed) == sorted(names), failed
        assert text in failed[names[0]]

    return compare
