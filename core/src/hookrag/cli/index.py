"""The commands that write: index and verify."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hookrag.cli.common import config_option, json_option, opened, pipeline_option
from hookrag.cli.exits import Exit
from hookrag.cli.progress import Style, progress_option, showing
from hookrag.cli.terminal import LINES, plain, print_error, print_json, problem_line

if TYPE_CHECKING:
    from hookrag.ingest import Estimate, Problem, Report, StoreCheck, VerifyReport

SHOWN = 20
"""Problems that are listed; --json has all."""

FINDINGS = ("missing", "unexpected", "wrong", "damaged", "drifted", "doubled")


class GivenPath(click.Path):
    """A path, refused where it is empty, as that of a variable that is not set: it would be the current folder."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not os.fspath(value):
            self.fail("a path is empty, which would be the current folder: write . if that is meant", param, ctx)
        return super().convert(value, param, ctx)


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=GivenPath())
@config_option
@pipeline_option
@click.option("--prune", is_flag=True, help="Allow that many documents are removed, because their files are gone.")
@click.option("--retry-failed", is_flag=True, help="Try documents again that failed in their present form.")
@click.option("--dry-run", is_flag=True, help="Say what would happen; write nothing.")
@click.option("--rebuild", multiple=True, metavar="STORE", help="Make all rows of a store anew. May be given again.")
@click.option("--take-over", is_flag=True, help="Make stores that belong to another journal this one's.")
@progress_option
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
    style: Style,
    as_json: bool,
) -> None:
    """Bring files into the index; what did not change costs nothing.

    A folder is taken with all below it, and documents whose files are gone from it are removed. Whatever ends the command,
    the same command goes on from there.
    """
    from hookrag.ingest import RemovalRefused
    from hookrag.ingest.files import Files

    if dry_run and (take_over or rebuild):
        raise click.UsageError(
            f"--dry-run writes nothing, and {'--take-over' if take_over else '--rebuild'} changes stores: leave one out"
        )
    reports: list[Report] = []
    refused = False
    try:
        with opened(config, pipeline) as made:
            for path in paths:  # raises for one that is not there, before anything is written for the first of them
                Files(path.resolve(), {})
            for path in paths:
                try:
                    with showing(style) as progress:
                        report = made.index_files(
                            path,
                            prune=prune,
                            retry_failed=retry_failed,
                            dry_run=dry_run,
                            rebuild=rebuild,
                            take_over=take_over,
                            progress=progress,
                        )
                except RemovalRefused as error:
                    report, refused = error.report, True
                    print_error(error)
                reports.append(report)
                rebuild = ()  # once: the other paths bring their documents to the store that was made anew
                if not as_json:
                    _show(path, report)
    finally:
        if as_json and reports:
            print_json([report.to_json() for report in reports])
    if refused:
        raise click.exceptions.Exit(Exit.REFUSED)
    if any(report.failed or report.failed_before or report.unread for report in reports):
        raise click.exceptions.Exit(Exit.PARTLY)


def _show(path: Path, report: Report) -> None:
    counts = [
        (report.new, "new"),
        (report.changed, "changed"),
        (report.unchanged, "unchanged"),
        (report.removed, "removed"),
        (report.held, "gone but kept" + (" because of what could not be read" if report.unread else "")),
        (len(report.failed), "failed"),
        (report.failed_before, "failed before (--retry-failed tries them again)"),
        (len(report.unread), "could not be read"),
        (report.empty, "empty"),
    ]
    told = ", ".join(f"{count:,} {what}" for count, what in counts if count) or "nothing to do"
    if report.dry_run:
        told = f"it would be: {told}"
    # They overlap.
    phases = ", ".join(f"{name} {value:.1f}" for name, value in report.seconds.items() if value >= 0.05)
    click.echo(
        f"{plain(str(path))}: {told}; {report.chunks:,} chunks, {report.took:.1f} s"
        + (f" ({phases})" if phases else "")
    )
    for estimate in report.to_embed:
        click.echo(f"  {_estimated(estimate)}")
    for store, count in sorted(report.lacking.items()):
        click.echo(
            f"  {count} documents of other paths are not in {store} as they should be: index their paths too", err=True
        )
    show_truncated(report)
    for reason, count in sorted(report.skipped.items()):
        click.echo(f"  {count} skipped: {plain(reason)}")
    list_problems("failed", report.failed)
    list_problems("not read", report.unread)
    if report.dry_run and report.refused:
        click.echo(f"  {plain(report.refused, keep=LINES)}", err=True)


def show_truncated(report: Report) -> None:
    """What an embedder cut off, on standard error."""
    if report.truncated:
        click.echo(
            f"  {report.truncated:,} texts are longer than their embedder reads: {report.tokens_cut:,} tokens at their ends "
            f"are in no vector (hookrag check --online compares the windows)",
            err=True,
        )


def _estimated(estimate: Estimate) -> str:
    """
    >>> from hookrag.ingest import Estimate
    >>> _estimated(Estimate("[embedders.api]", texts=1200, tokens=300_000, price=0.02))
    '[embedders.api] would embed 1,200 texts of about 300,000 tokens (a quarter of the characters), for 0.006 US dollars'
    """
    over = f", {estimate.truncated:,} of them longer than it reads" if estimate.truncated else ""
    about, how = ("", "") if estimate.exact else ("about ", " (a quarter of the characters)")
    price = "" if estimate.dollars is None else f", for {estimate.dollars:,.2g} US dollars"
    return f"{estimate.embedder} would embed {estimate.texts:,} texts of {about}{estimate.tokens:,} tokens{how}{price}{over}"


def list_problems(what: str, problems: list[Problem]) -> None:
    """The first of them on standard error, and how many more there are."""
    for problem in problems[:SHOWN]:
        # What was not read is the file itself.
        line = problem_line(replace(problem, id=problem.locator or problem.id) if what == "not read" else problem)
        click.echo(f"  {what}: {line}", err=True)
    if len(problems) > SHOWN:
        click.echo(f"  and {len(problems) - SHOWN} more {what}; --json lists them all", err=True)


@click.command()
@config_option
@pipeline_option
@click.option(
    "--deep", is_flag=True, help="Also fetch every row and compare its text and vectors; check the stores' files."
)
@click.option(
    "--sample",
    type=click.IntRange(min=1, max=2**63 - 1),
    metavar="N",
    help="Instead of scanning all rows, fetch N of each store at random, and embed them again.",
)
@click.option(
    "--repair", is_flag=True, help="Delete rows that should not be there; have missing ones made by the next index."
)
@json_option
def verify(config: Path | None, pipeline: str, deep: bool, sample: int | None, repair: bool, as_json: bool) -> None:
    """Compare the index with its journal, and mend it."""
    if deep and sample is not None:
        raise click.UsageError("give either --deep, which looks at every row, or --sample N")
    with opened(config, pipeline) as made:
        report = made.verify(sample=sample, deep=deep, repair=repair)
    if as_json:
        print_json(report.to_json())
    else:
        _show_verified(report, repair)
    if not report.ok:
        raise click.exceptions.Exit(Exit.FAILED)


def _show_verified(report: VerifyReport, repair: bool) -> None:
    for store in report.stores:
        click.echo(_verdict(store))
        for what, examples in store.examples.items():
            click.echo(f"  {store.name}: {what}: {plain(', '.join(examples))}", err=True)
        for reason in (store.card, store.incomplete, store.files):
            if reason:
                click.echo(f"  {store.name}: {plain(reason, keep=LINES)}", err=True)
    for store in report.stores:
        if store.rebuild:
            why = (
                "its files are damaged: restore its folder from a backup, or delete it and"
                if store.files
                else "most rows that were looked at are not as they should be:"
            )
            click.echo(f"{store.name}: {why} fill it again with hookrag index --rebuild {store.name} PATH...", err=True)
    # What a card says names its own command, and what was cut short says nothing.
    if not repair and any(not (one.ok or one.rebuild or one.card or one.incomplete) for one in report.stores):
        click.echo("mend it with: hookrag verify --repair, then hookrag index PATH...", err=True)


def _verdict(store: StoreCheck) -> str:
    """
    >>> from hookrag.ingest import StoreCheck
    >>> _verdict(StoreCheck("terms", rows=1200, expected=1200, compared=100))
    'terms: ok: 1,200 rows, 100 compared'
    >>> _verdict(StoreCheck("terms", rows=1200, expected=1201, missing=1, foreign=2))
    'terms: differs: 1,200 rows, 1,201 expected, 1 missing, 2 foreign'
    """
    told = [f"{store.rows:,} rows"]
    if store.expected != store.rows or not store.ok:
        told.append(f"{store.expected:,} expected")
    if store.compared:
        told.append(f"{store.compared:,} compared")
    for name in (*FINDINGS, "foreign", "pending"):
        if count := getattr(store, name):
            told.append(f"{count:,} {name}")
    verdict = "ok" if store.ok else "repaired" if store.repaired else "differs"
    return f"{store.name}: {verdict}: {', '.join(told)}"
