"""The command `search`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import click

from hookrag.cli.common import config_option, json_option, opened, pipeline_option, say_if_empty, say_notes
from hookrag.cli.terminal import plain, print_json, styled
from hookrag.errors import HookragError
from hookrag.wire import to_json

if TYPE_CHECKING:
    from hookrag.pipeline import Pipeline
    from hookrag.values import Query, Ranking

BATCH = 64
"""Queries that are answered at once."""


@click.command()
@click.argument("query", nargs=-1, metavar="[QUERY]...")
@config_option
@pipeline_option
@click.option("-k", type=click.IntRange(1), help="How many hits; the pipeline's k unless given, 100 for a run.")
@click.option("--where", help="A filter on the declared metadata, as in 'lang == \"en\"'.")
@click.option("--explain", is_flag=True, help="Show rank and score of each hit in every stage, and the matching terms.")
@click.option(
    "--queries",
    "queries_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help='Search for every line {"_id": ..., "text": ...} of a file.',
)
@click.option(
    "--run",
    "run_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a TREC run of documents, each scored by its best chunk.",
)
@click.option("--unit", type=click.Choice(["document", "chunk"]), help="What a run ranks; documents unless given.")
@json_option
def search(
    query: tuple[str, ...],
    config: Path | None,
    pipeline: str,
    k: int | None,
    where: str | None,
    explain: bool,
    queries_file: Path | None,
    run_file: Path | None,
    unit: str | None,
    as_json: bool,
) -> None:
    """Find the chunks that match best.

    \b
    hookrag search "what is a fuser"
    hookrag search "what is a fuser" --explain
    hookrag search --queries queries.jsonl --run run.trec -k 100
    """
    if bool(query) == bool(queries_file):
        raise click.UsageError("give either a QUERY or --queries FILE")
    if run_file is not None and queries_file is None:
        raise click.UsageError("--run needs --queries FILE: a run is about many queries")
    if run_file is None and unit is not None:
        raise click.UsageError("--unit needs --run FILE: it says what a run ranks")
    if run_file is not None and (explain or as_json):
        raise click.UsageError("--run writes ranks and scores only: leave out --run, or --explain and --json")
    with opened(config, pipeline) as made:
        if queries_file is None:
            rankings = made.retrieve([" ".join(query)], k, where=where, explain=explain)
            print_json([to_json(r, parts=explain) for r in rankings]) if as_json else _show(rankings[0], explain)
            if not rankings[0].hits:
                say_if_empty(made)
            if not as_json:
                say_notes(rankings[0].notes)
            return
        from hookrag.qrels import read_queries

        queries = read_queries(queries_file)
        if run_file is not None:
            _write_run(made, queries, run_file, k or 100, where, unit or "document")
            return
        for batch in _batches(queries):
            for ranking in made.retrieve(batch, k, where=where, explain=explain):
                click.echo(json.dumps(to_json(ranking, parts=explain), ensure_ascii=False))


def _batches(queries: Sequence[Query]) -> Iterator[Sequence[Query]]:
    for start in range(0, len(queries), BATCH):
        yield queries[start : start + BATCH]


def _write_run(pipeline: Pipeline, queries: Sequence[Query], path: Path, k: int, where: str | None, unit: str) -> None:
    """Write the run beside its place and move it there when it is whole."""
    from hookrag.disk import durable

    started = perf_counter()
    with durable.replacing(path) as part, part.open("w", encoding="utf-8") as out:
        for batch in _batches(queries):
            out.writelines(_run_lines(pipeline, batch, k, where, unit))
    seconds = perf_counter() - started
    click.echo(
        f"{path}: {len(queries)} queries in {seconds:.1f} s, {len(queries) / max(seconds, 1e-9):.1f} a second", err=True
    )


def _run_lines(pipeline: Pipeline, batch: Sequence[Query], k: int, where: str | None, unit: str) -> Iterator[str]:
    from hookrag.qrels import by_document

    if unit == "document":
        found = by_document(lambda q, depth: pipeline.retrieve(q, depth, where=where), batch, k)
    else:
        found = [[(h.chunk.id, h.score) for h in r.hits] for r in pipeline.retrieve(batch, k, where=where)]
    for query, ranked in zip(batch, found, strict=True):
        for rank, (name, score) in enumerate(ranked, 1):
            for one in (query.id, name):
                if len(one.split()) != 1:
                    raise HookragError(
                        f"the id {one!r} cannot be in a TREC run, whose columns end at white space: "
                        f"rename it, or leave out --run to get JSON lines"
                    )
            yield f"{query.id} Q0 {name} {rank} {score:.9g} hookrag\n"


def _show(ranking: Ranking, explain: bool) -> None:
    if not ranking.hits:
        click.echo("nothing found", err=True)
        return
    for rank, hit in enumerate(ranking.hits, 1):
        chunk = hit.chunk
        head = styled(f"{rank:>3}  {plain(chunk.document_id)}:{chunk.start}-{chunk.end}", bold=True)
        score = styled(f"{ranking.kind.name} {hit.score:.4g}", dim=True)
        title = f"  {plain(chunk.context)}" if chunk.context else ""
        click.echo(f"{head}{title}  {score}")
        click.echo(f"     {plain(_excerpt(chunk.text))}")
        if explain:
            for part in hit.parts:
                terms = f"  {plain(', '.join(part.terms))}" if part.terms else ""
                click.echo(
                    styled(f"     {part.stage}: rank {part.rank}, {part.kind.name} {part.score:.4g}{terms}", fg="cyan")
                )


def _excerpt(text: str, length: int = 200) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= length else flat[: length - 3].rsplit(" ", 1)[0] + "..."
