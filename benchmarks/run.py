"""Every comparison in one go, ours and theirs in turns, as Markdown tables.

    .venv-bench/bin/python benchmarks/run.py [--only bm25 ...] [--rounds 5] [--data FOLDER] [--write docs/benchmarks.md]

`make bench` makes the environment and runs it. docs/benchmarks.md says what each comparison measures and how to read it.
"""

from __future__ import annotations

import importlib
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import collection
from harness import Measure, serve
from options import Options, options_parser

COMPARISONS = ("imports", "overhead", "bm25", "embedding", "hybrid")
PACKAGES = (
    "hookrag",
    "haystack-ai",
    "sentence-transformers-haystack",
    "llama-index-core",
    "llama-index-retrievers-bm25",
    "langchain-core",
    "bm25s",
    "numba",
    "tantivy",
    "sentence-transformers",
    "torch",
    "onnxruntime",
    "numpy",
)
BEGIN, END = "<!-- figures: written by benchmarks/run.py -->", "<!-- end of figures -->"


def main() -> None:
    """Run what is asked for, print it, and write it into a page."""
    parser = options_parser(__doc__)
    named = ", ".join(COMPARISONS)
    parser.add_argument("--only", nargs="+", choices=COMPARISONS, default=COMPARISONS, metavar="NAME", help=named)
    parser.add_argument("--write", type=Path, help="put the figures into this page, between its two marks")
    told = parser.parse_args()
    measures = {name: importlib.import_module(name).measure for name in told.only}
    text = _run(measures, told.rounds, told.data, told.documents, told.queries)
    if told.write:
        written(told.write, text)


def alone(measure: Measure, sides: Mapping[str, Callable[[Options], Any]]) -> None:
    """A comparison as a program: alone with its own options, or one side of it."""
    if sys.argv[1:2] == ["--side"]:
        serve(sides)
        return
    told = options_parser(sys.modules["__main__"].__doc__).parse_args()
    _run({Path(sys.argv[0]).stem: measure}, told.rounds, told.data, told.documents, told.queries)


def _run(measures: dict[str, Measure], rounds: int, data: Path | None, documents: int, queries: int) -> str:
    started = perf_counter()
    with tempfile.TemporaryDirectory(prefix="hookrag-bench-") as temporary:
        folder = Path(temporary)
        chosen = collection.chosen(data, folder)
        parts = [head(chosen, rounds)]
        print(parts[0], flush=True)
        for name, measure in measures.items():
            begun = perf_counter()
            (folder / name).mkdir()
            tables = measure(Options(folder / name, chosen, rounds, documents, queries))
            parts += [table.markdown() for table in tables]
            print("\n" + "\n\n".join(parts[-len(tables) :]), flush=True)
            print(f"\n({name}: {perf_counter() - begun:.0f} s)", file=sys.stderr, flush=True)
    print(f"\n(all: {perf_counter() - started:.0f} s)", file=sys.stderr)
    return "\n\n".join(parts)


def head(chosen: Path, rounds: int) -> str:
    """Where, when, with what."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = platform.python_version()
    machine = f"{processor()}, {os.cpu_count()} cores, {memory:.0f} GB, {platform.system()}, Python {python}"
    busy = f"{os.getloadavg()[0]:.1f}"
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d} in one run of {rounds} rounds, on {machine}; load before it began {busy}.\n"
        f"Collection: {collection.described(chosen)}.\n"
        f"Versions: {versions}."
    )


def processor() -> str:
    """Its name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def written(page: Path, text: str) -> None:
    """The page with the text between its two marks in place of what stood there."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page}: has no place for the figures: expected the lines {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
