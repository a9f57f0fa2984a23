"""Inputs that the tests and make_reference.py share."""

from __future__ import annotations

import pytest

PAIRS = [
    ("How many people live in Berlin?", "Berlin had 3,520,031 registered inhabitants in an area of 891.82 km²."),
    ("How many people live in Berlin?", "New York City is famous for the Metropolitan Museum of Art."),
    ("How many people live in Berlin?", ""),
    ("", "Berlin is the capital of Germany."),
    ("什么是维生素?", "Vitamine sind organische Verbindungen; 维生素是有机化合物 🙂"),
    ("vitamin d fracture risk", "Vitamin D deficiency is associated with an increased risk of fracture. " * 60),
    ("How many people live in Berlin?", "Berlin had 3,520,031 registered inhabitants in an area of 891.82 km²."),
    ("a long question " * 110, "and a passage that is cut because of it " * 40),
    ("[SEP] in the query", "[CLS] in the passage [SEP]"),
    ("x", "y"),
]


@pytest.fixture(scope="session")
def pairs() -> list[tuple[str, str]]:
    return PAIRS
