"""The command status: what the journal knows, without opening a store or a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hookrag.cli.common import config_option, json_option, opened, pipeline_option
from hookrag.cli.terminal import plain, print_json, print_table, problem_line

if TYPE_CHECKING:
    from hookrag.ingest import Status

SHOWN = 20
"""Failed documents that are listed; --json has all."""


@click.command()
@config_option
@pipeline_option
@json_option
def status(config: Path | None, pipeline: str, as_json: bool) -> None:
    """Say what is in the index, what failed, and who is writing it.

    Reads the journal alone, so that it can be asked while another process writes.
    """
    with opened(config, pipeline) as made:
        found = made.status()
    if as_json:
        print_json(found.to_json())
    else:
        _show(found)


def _show(found: Status) -> None:
    from hookrag.ingest.report import source_name

    if not found.documents and not found.stores:
        click.echo("nothing indexed yet: fill the index with hookrag index PATH...")
    for source, count in found.documents.items():
        if source or count:
            click.echo(f"{_documents(count)} of {plain(source_name(source))}")
    if found.stores:
        rows = [(one.name, *(str(n) for n in (one.documents, one.rows, one.owed, one.epoch))) for one in found.stores]
        print_table(("store", "documents", "rows", "owed", "epoch"), rows)
    if found.failed:
        click.echo(f"{_documents(len(found.failed))} failed; hookrag index --retry-failed PATH... tries again:")
    for problem in found.failed[:SHOWN]:
        click.echo(f"  {problem_line(problem)}")
    if len(found.failed) > SHOWN:
        click.echo(f"  and {len(found.failed) - SHOWN} more; --json lists them all")
    if found.unfinished and not found.writer:
        click.echo(f"{_documents(found.unfinished)} unfinished: run hookrag index PATH... to go on")
    if found.writer:
        click.echo(f"being written by {found.writer}")
    if found.last:
        click.echo(f"last run: {found.last}")


def _documents(count: int) -> str:
    return f"{count:,} document{'s' if count != 1 else ''}"
