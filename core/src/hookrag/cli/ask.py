"""The command `ask`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import click

from hookrag.cli.common import config_option, json_option, opened, pipeline_option, say_if_empty, say_notes
from hookrag.cli.terminal import LINES, plain, print_error, print_json, styled
from hookrag.errors import ConfigError, HookragError
from hookrag.wire import to_json

if TYPE_CHECKING:
    from hookrag.pipeline import Pipeline
    from hookrag.values import Answer, Citation


@click.command()
@click.argument("questions", nargs=-1, metavar="[QUESTION]...")
@config_option
@pipeline_option
@click.option("-k", type=click.IntRange(1), help="How many chunks the answer may rest on.")
@click.option("--where", help="A filter on the declared metadata, as in 'lang == \"en\"'.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), help="Seconds that the answer may take.")
@json_option
def ask(
    questions: tuple[str, ...],
    config: Path | None,
    pipeline: str,
    k: int | None,
    where: str | None,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Answer questions, with sources.

    Without a question it reads one a line: from the terminal, or from standard input.
    """
    with opened(config, pipeline) as made:
        options: dict[str, Any] = {"where": where, "timeout": timeout}
        if questions and as_json:
            print_json([to_json(answer) for answer in made.answer(list(questions), k, **options)])
            return
        if not questions and not as_json and sys.stdin.isatty():
            _converse(made, k, options)
            return
        for question in questions or (line.strip() for line in sys.stdin):
            if not question:
                continue
            if as_json:
                print_json(to_json(made.answer([question], k, **options)[0]))
            else:
                _show(made, question, k, options)


def _converse(pipeline: Pipeline, k: int | None, options: dict[str, Any]) -> None:
    click.echo("Ask a question; an empty line or Ctrl-D ends.", err=True)
    while True:
        try:
            question = click.prompt("", prompt_suffix="> ", default="", show_default=False, err=True).strip()
        except click.Abort as end:
            if isinstance(end.__context__, KeyboardInterrupt):
                raise
            return
        if not question:
            return
        try:
            _show(pipeline, question, k, options)
        except ConfigError:
            raise
        except HookragError as error:
            print_error(error)


def _show(pipeline: Pipeline, question: str, k: int | None, options: dict[str, Any]) -> None:
    """Print an answer while it is written, then its sources."""
    started = perf_counter()
    with pipeline.stream([question], k, **options) as stream:
        for event in stream:
            if event.kind == "text":
                click.echo(plain(event.text, keep=LINES), nl=False)
            elif event.kind == "status":
                click.echo(styled(plain(event.text), dim=True), err=True)
        click.echo()
        answer = stream.answers()[0]
    if not answer.context:
        say_if_empty(pipeline)
    say_notes(answer.notes)
    sources = answer_sources(answer)
    if sources:
        click.echo()
        for line in sources:
            click.echo(line)
    click.echo(styled(f"{perf_counter() - started:.2f} s", dim=True), err=True)


def answer_sources(answer: Answer) -> list[str]:
    """One line for each cited chunk, numbered as it is first cited: document, characters, pages, title, what was not exact."""
    lines = []
    for number, chunk in enumerate(dict.fromkeys(citation.chunk.id for citation in answer.citations), 1):
        cited = [citation for citation in answer.citations if citation.chunk.id == chunk]
        source = cited[0].chunk
        statuses = sorted({citation.status for citation in cited} - {"exact"})
        title = f"  {plain(source.context)}" if source.context else ""
        doubt = f"  ({', '.join(statuses)})" if statuses else ""
        span = f"{source.start}-{source.end}" if not source.made_of else "derived"
        lines.append(f"[{number}] {plain(source.document_id)}:{span}{_pages(cited)}{title}{doubt}")
    return lines


def _pages(citations: Sequence[Citation]) -> str:
    """The pages that citations of one chunk name, in words; "" where it has none."""
    found = [pages for citation in citations if (pages := citation.pages)]
    if not found:
        return ""
    first, last = min(pages[0] for pages in found), max(pages[1] for pages in found)
    return f"  page {first}" if first == last else f"  pages {first}-{last}"
