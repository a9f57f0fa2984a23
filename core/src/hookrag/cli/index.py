"""The commands that write: index and verify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hookrag.cli.common import config_option, json_option, opened, pipeline_option
from hookrag.cli.exits import Exit
from hookrag.cli.progress import showing
from hookrag.cli.terminal import print_json, print_table

if TYPE_CHECKING:
    from hookrag.ingest import Problem, Report, VerifyReport

SHOWN = 20
"""Problems that are listed; --json has all."""


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path))
@config_option
@pipeline_option
@click.option("--prune", is_flag=True, help="Allow that many documents are removed, because their files are gone.")
@click.option("--retry-failed", is_flag=True, help="Try documents again that failed in their present form.")
@click.option("--dry-run", is_flag=True, help="Say what would happen; write nothing.")
@click.option("--rebuild", multiple=True, metavar="STORE", help="Make all rows of a store anew. May be given again.")
@click.option("--take-over", is_flag=True, help="Make stores that belong to another journal this one's.")
@json_option
def index(
    paths: tuple[Path, ...],
    config: Path | None,
    pipeline: str,
    prune: bool,
    retry_failed: bool,
    dry_run: bool,
    rebuild: tuple[str, ...],
    take_over: bool,
    as_json: bool,
) -> None:
    """Bring files into the index; what did not change costs nothing.

    A folder is taken with all below it, and documents whose files are gone from it are removed. Whatever ends the command,
    the same command goes on from there.
    """
    with opened(config, pipeline) as made:
        reports = []
        for path in paths:
            with showing() as progress:
                report = made.index_files(
                    path,
                    prune=prune,
                    retry_failed=retry_failed,
                    dry_run=dry_run,
                    rebuild=rebuild,
                    take_over=take_over,
                    progress=progress,
                )
            reports.append(report)
            rebuild = ()  # once: the other paths bring their documents to the store that was made anew
            if not as_json:
                _show(path, report)
    if as_json:
        print_json([report.to_json() for report in reports])
    if any(report.failed or report.failed_before or report.unread for report in reports):
        raise click.exceptions.Exit(Exit.PARTLY)


def _show(path: Path, report: Report) -> None:
    verb = "would be" if report.dry_run else ""
    counts = [
        (report.new, "new"),
        (report.changed, "changed"),
        (report.unchanged, "unchanged"),
        (report.removed, "removed"),
        (report.held, "gone but kept"),
        (len(report.failed), "failed"),
        (report.failed_before, "failed before (--retry-failed tries them again)"),
        (len(report.unread), "could not be read"),
        (report.empty, "empty"),
    ]
    told = ", ".join(f"{count} {verb} {what}".replace("  ", " ") for count, what in counts if count) or "nothing to do"
    seconds = sum(report.seconds.values())
    phases = ", ".join(f"{name} {value:.1f}" for name, value in report.seconds.items() if value >= 0.05)
    click.echo(f"{path}: {told}; {report.chunks} chunks, {seconds:.1f} s" + (f" ({phases})" if phases else ""))
    for store, count in sorted(report.lacking.items()):
        click.echo(
            f"  {count} documents of other paths are not in {store} as they should be: index their paths too", err=True
        )
    for reason, count in sorted(report.skipped.items()):
        click.echo(f"  {count} skipped: {reason}")
    _list("failed", report.failed)
    _list("not read", report.unread)
    if report.refused:
        click.echo(f"  {report.refused}", err=True)


def _list(what: str, problems: list[Problem]) -> None:
    for problem in problems[:SHOWN]:
        click.echo(f"  {what}: {problem.locator or problem.id}: {problem.reason}", err=True)
    if len(problems) > SHOWN:
        click.echo(f"  and {len(problems) - SHOWN} more {what}; --json lists them all", err=True)


@click.command()
@config_option
@pipeline_option
@click.option(
    "--repair", is_flag=True, help="Delete rows that should not be there; have missing ones made by the next index."
)
@json_option
def verify(config: Path | None, pipeline: str, repair: bool, as_json: bool) -> None:
    """Compare the index with its journal, and mend it."""
    with opened(config, pipeline) as made:
        report = made.verify(repair=repair)
    if as_json:
        print_json(report.to_json())
    else:
        _show_verified(report, repair)
    if not report.ok:
        raise click.exceptions.Exit(Exit.FAILED)


def _show_verified(report: VerifyReport, repair: bool) -> None:
    headings = ("store", "rows", "expected", "missing", "unexpected", "wrong", "doubled", "foreign", "")
    rows = []
    for store in report.stores:
        numbers = (
            store.rows,
            store.expected,
            store.missing,
            store.unexpected,
            store.wrong,
            store.doubled,
            store.foreign,
        )
        rows.append((store.name, *map(str, numbers), "ok" if store.ok else "repaired" if store.repaired else "differs"))
    print_table(headings, rows)
    for store in report.stores:
        for what, examples in store.examples.items():
            click.echo(f"  {store.name}: {what}: {', '.join(examples)}", err=True)
        for reason in (store.card, store.incomplete):
            if reason:
                click.echo(f"  {store.name}: {reason}", err=True)
    if not report.ok and not repair:
        click.echo("mend it with: hookrag verify --repair, then hookrag index PATH...", err=True)
