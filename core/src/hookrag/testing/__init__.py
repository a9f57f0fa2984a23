"""The conformance kit: what every component promises, as plain functions, run with or without pytest."""

from __future__ import annotations

from hookrag.testing._kit import Check, CheckFailed, Make
from hookrag.testing._run import Outcome, Result, checks, parametrize_checks, raise_for_failures, run_checks
from hookrag.testing.samples import QUERIES, documents, filled

__all__ = [
    "QUERIES",
    "Check",
    "CheckFailed",
    "Make",
    "Outcome",
    "Result",
    "checks",
    "documents",
    "filled",
    "parametrize_checks",
    "raise_for_failures",
    "run_checks",
]
