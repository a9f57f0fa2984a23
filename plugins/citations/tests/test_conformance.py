"""The conformance kit on the generator `cited`."""

from __future__ import annotations

from hookrag.testing import parametrize_checks
from hookrag.testing.fakes import ScriptedLLM
from hookrag_citations.generator import Cited


@parametrize_checks(
    "generator",
    lambda: Cited(llm=ScriptedLLM()),
    lambda: Cited(
        llm=ScriptedLLM(reply="The zeppelin landed beside the harbour [1]. It was bitter [2, 99]."), max_tokens=20
    ),
)
def test_cited(check, make):
    check(make)
