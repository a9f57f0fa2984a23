"""The options that every comparison has, as values and on the command line."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Options:
    """How large a run is; with 0 documents or queries every comparison takes a number of its own."""

    folder: Path
    collection: Path
    rounds: int = 5
    documents: int = 0
    queries: int = 0

    def sized(self, *, documents: int, queries: int) -> Options:
        """With the sizes of one comparison, where no others were asked for."""
        return replace(self, documents=self.documents or documents, queries=self.queries or queries)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text!r}")
    return int(text)


def options_parser(description: str | None) -> argparse.ArgumentParser:
    """The options that every comparison has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=_positive, default=5, help="how often each side is asked (default: 5)")
    parser.add_argument("--data", type=Path, help="a collection in BEIR's layout; see collection.py for the default")
    parser.add_argument("--documents", type=_positive, default=0, help="so many documents in every comparison")
    parser.add_argument("--queries", type=_positive, default=0, help="so many queries in every comparison")
    return parser
