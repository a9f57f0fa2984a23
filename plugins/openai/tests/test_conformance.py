"""The kit against a real server of a real model."""

from __future__ import annotations

import pytest
from hookrag.testing import parametrize_checks
from hookrag_openai.llm import OpenAIChat

SERVER: dict[str, str] = {}


@pytest.fixture(autouse=True)
def server(smollm2, smollm2_key):
    # `make` takes no argument, and the address is known only when the server runs.
    SERVER["address"] = smollm2


def make() -> OpenAIChat:
    return OpenAIChat(model="smollm2", base_url=SERVER["address"], api_key_env="SMOLLM2_KEY", window=2048)


@pytest.mark.service
@parametrize_checks("llm", make)
def test_conformance(check, make):
    check(make)
