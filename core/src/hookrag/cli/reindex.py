"""The command that makes an index anew while the old one is searched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hookrag.cli.common import config_option, json_option, opened, pipeline_option
from hookrag.cli.exits import Exit
from hookrag.cli.index import GivenPath, list_problems, show_truncated
from hookrag.cli.progress import Style, progress_option, showing
from hookrag.cli.terminal import plain, print_json

if TYPE_CHECKING:
    from hookrag.index.reindex import ReindexReport
    from hookrag.ingest import Report


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...", type=GivenPath())
@config_option
@pipeline_option
@click.option("--drop-old", is_flag=True, help="Delete the generations that are not searched any more.")
@click.option("--allow-partial", is_flag=True, help="Switch though some documents could not be taken.")
@click.option("--prune", is_flag=True, help="Switch though documents or stores of the index are not among those given.")
@progress_option
@json_option
def reindex(
    paths: tuple[Path, ...],
    config: Path | None,
    pipeline: str,
    drop_old: bool,
    allow_partial: bool,
    prune: bool,
    style: Style,
    as_json: bool,
) -> None:
    """Make the index anew while the old one is searched, then switch.

    Give every path of the index. Whatever ends the command, the same command goes on from there. The old generation stays
    until --drop-old, which also works alone.
    """
    from hookrag.index.reindex import SwitchRefused

    if not paths and not drop_old:
        raise click.UsageError("Name the paths to fill the index with, or --drop-old.")
    with opened(config, pipeline) as made:
        try:
            with showing(style) as progress:
                report = made.reindex(
                    paths, drop_old=drop_old, allow_partial=allow_partial, prune=prune, progress=progress
                )
        except SwitchRefused as refused:
            _tell(paths, refused.report, as_json)
            raise
    _tell(paths, report, as_json)
    if report.partial:
        raise click.exceptions.Exit(Exit.PARTLY)


def _tell(paths: tuple[Path, ...], report: ReindexReport, as_json: bool) -> None:
    if as_json:
        print_json(report.to_json())
        return
    if report.restarted:
        click.echo("what an earlier command had filled with other settings was thrown away")
    for path, one in zip(paths, report.reports, strict=False):  # none where nothing was read
        _filled(path, one)
    if report.resumed:
        click.echo(
            "the switch that was cut off is finished, and no file was read: hookrag index brings what changed since"
        )
    if report.switched:
        click.echo(f"generation {report.generation} is verified and is searched from now on")
    for source, command in report.remake.items():
        click.echo(f"the documents of {plain(source)!r} are made from the others: make them again, {plain(command)}")
    if report.dropped:
        click.echo(f"dropped: generation {', '.join(map(str, report.dropped))}")
    elif not (report.switched or report.resumed or report.reports):
        click.echo("nothing to drop")


def _filled(path: Path, report: Report) -> None:
    taken = report.new + report.changed + report.unchanged
    click.echo(f"{plain(str(path))}: {taken:,} documents, {report.chunks:,} chunks")
    show_truncated(report)
    for reason, count in sorted(report.skipped.items()):
        click.echo(f"  {count} skipped: {plain(reason)}")
    list_problems("failed", report.failed)
    list_problems("not read", report.unread)
