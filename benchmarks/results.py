"""Our figures beside the published ones, and what the defaults of `hookrag init` rest on: writes docs/results.md.

    make results
    .venv/bin/python benchmarks/results.py [--quick] [--only bm25 minilm bge chunkers fusers reranking]

The collections are those of the folder HOOKRAG_DATA, ../shared/data without it. Vectors and scores that models computed are
kept in benchmarks/.cache. --quick measures BM25 alone and writes nothing. Ends with 1 where a figure is out of its tolerance
and nothing explains it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import process_time

import acceptance
import studies
from acceptance import Row
from corpora import data_folder
from tables import replace_block

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
FIGURES: Mapping[str, Callable[[], Iterator[Row]]] = {
    "bm25": acceptance.bm25,
    "minilm": acceptance.minilm,
    "bge": acceptance.bge,
}
STUDIES: Mapping[str, Callable[[], Iterator[str]]] = {
    "chunkers": studies.chunkers,
    "fusers": studies.fusers,
    "reranking": studies.reranking,
}


def main() -> None:
    """Measure, print, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*FIGURES, *STUDIES]
    parser.add_argument("--quick", action="store_true", help="BM25 alone, and write nothing")
    parser.add_argument("--only", nargs="*", choices=names, default=names, help="only these parts of the page")
    chosen = parser.parse_args()
    data_folder()
    failed: list[Row] = []
    for name in ["bm25"] if chosen.quick else chosen.only:
        started = process_time()
        if name in FIGURES:
            rows = list(FIGURES[name]())
            failed += [row for row in rows if row.failed]
            content = acceptance.render(rows)
        else:
            content = "\n\n".join(STUDIES[name]())
        print(f"== {name}: {process_time() - started:.0f} s of processor time\n\n{content}\n", flush=True)
        if not chosen.quick:
            replace_block(PAGE, name, content)
    for row in failed:
        print(
            f"out of tolerance: {row.collection}, {row.system}, {row.measure}: {row.ours:.4f}, not {row.reference:.4f}"
        )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
