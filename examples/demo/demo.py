"""Indexes the documentation and the corpus beside this file, and answers the questions of questions.txt from them."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from time import perf_counter

from hookrag import Answer, HookragError, Pipeline

HERE = Path(__file__).resolve().parent
CONFIG = HERE / "hookrag.toml"
BOLD, DIM, END = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")


def index(pipeline: Pipeline, folder: Path) -> bool:
    """Index a folder, print what that took, and say whether every document is in the index."""
    print(f"  {folder.name}: ", end="", flush=True)
    started = perf_counter()
    report = pipeline.index_files(folder)
    counts = f"{report.new} new, {report.changed} changed, {report.unchanged} unchanged, {report.removed} removed"
    print(f"{counts} documents {DIM}({report.chunks} chunks, {perf_counter() - started:.1f} s){END}")
    problems = [*report.failed, *report.unread]
    for problem in problems:
        print(f"    {problem.id}: {problem.reason}")
    return not problems


def show(answer: Answer, seconds: float) -> None:
    """Print the question, the answer, and where each cited chunk is."""
    print(f"\n{BOLD}{answer.query.text}{END}  {DIM}({seconds:.2f} s){END}")
    for line in answer.text.splitlines():
        print(textwrap.fill(line, 100, initial_indent="  ", subsequent_indent="  "))
    chunks = {citation.chunk.id: citation.chunk for citation in answer.citations}
    for number, chunk in enumerate(chunks.values(), 1):
        print(f"  {DIM}[{number}] {chunk.document_id}, characters {chunk.start} to {chunk.end}: {chunk.context}{END}")


def main() -> int:
    """0, or 1 where a document could not be indexed."""
    with Pipeline.from_config(CONFIG) as pipeline:
        print(f"{BOLD}Indexing{END}")
        done = [index(pipeline, folder) for folder in (HERE.parents[1] / "docs", HERE / "corpus")]
        for question in (HERE / "questions.txt").read_text(encoding="utf-8").splitlines():
            started = perf_counter()
            show(pipeline.answer([question])[0], perf_counter() - started)
    print(f"\nGo on asking: {Path(sys.executable).parent / 'hookrag'} ask --config {CONFIG}")
    return 0 if all(done) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except HookragError as error:
        sys.exit(f"error: {error}")
