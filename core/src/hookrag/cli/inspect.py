"""Commands that look and change nothing: check, schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hookrag.cli.common import config_option, config_path, json_option
from hookrag.cli.exits import Exit
from hookrag.cli.terminal import plain, print_error, print_json
from hookrag.errors import ConfigError, HookragError

if TYPE_CHECKING:
    from hookrag.index.windows import Window
    from hookrag.pipeline import Pipeline


@click.command()
@config_option
@click.option("--online", is_flag=True, help="Also load the models, open the stores and reach the servers.")
@json_option
def check(config: Path | None, online: bool, as_json: bool) -> None:
    """Find every problem of the configuration.

    Builds every table and calls no model and no server, unless --online.
    """
    from hookrag.config import tables
    from hookrag.config.catalogue import Catalogue
    from hookrag.config.file import load
    from hookrag.pipeline import Pipeline

    path = config_path(config)
    try:
        names = tables.check(load(path), Catalogue.installed())
    except ConfigError as error:
        if as_json:
            print_json({"ok": False, "problems": list(error.problems)})
        else:
            for problem in error.problems:
                click.echo(problem, err=True)
            count = len(error.problems)
            click.echo(f"{count} problem{'s' if count > 1 else ''} in {path}", err=True)
        raise click.exceptions.Exit(Exit.USAGE) from error
    failures = []
    pipelines = {}
    windows: list[Window] = []
    for name in names:
        with Pipeline.from_config(path, pipeline=name) as pipeline:
            pipelines[name] = [str(component.step) for component in pipeline.components]
            if online:
                found = _open(name, pipeline, as_json)
                failures += found
                told = [] if found else [one for one in pipeline.windows() if one not in windows]
                windows += told
                if not as_json:
                    _show_windows(told)
            elif not as_json:
                click.echo(f"{path.name}: pipeline {name}: {', '.join(pipelines[name])}")
    if as_json:
        checked = {"ok": not failures, "problems": failures, "pipelines": pipelines}
        print_json({**checked, "windows": [one.to_json() for one in windows]} if online else checked)
    if failures:
        raise click.exceptions.Exit(Exit.FAILED)
    if not as_json:
        click.echo("no problems" + ("" if online else " (nothing was opened: --online opens everything)"))


def _open(name: str, pipeline: Pipeline, as_json: bool) -> list[str]:
    """Open every component; what failed."""
    failures = []
    for component in pipeline.components:
        try:
            component.open()
        except HookragError as error:
            failures.append(f"{component.step} cannot be opened: {error}")
            if not as_json:
                print_error(error)
        else:
            if not as_json:
                click.echo(f"{name}: {component.step} opened")
    if not failures:
        try:
            pipeline.open()
        except HookragError as error:
            failures.append(str(error))
            if not as_json:
                print_error(error)
    return failures


def _show_windows(windows: list[Window]) -> None:
    """What fits on standard output, what does not on standard error."""
    for window in windows:
        click.echo(plain(str(window)), err=not window.fits)
    if any(not window.fits and not window.together for window in windows):
        click.echo("cut smaller chunks (size of the chunker), or use a model that reads more", err=True)
    if any(not window.fits and window.together for window in windows):
        click.echo("give a generator fewer passages (k of the pipeline), or smaller chunks", err=True)


@click.command()
def schema() -> None:
    """Print a JSON Schema of hookrag.toml, for editors.

    It is made from the constructors of the installed components.
    """
    from hookrag.config.catalogue import Catalogue
    from hookrag.config.schema import config_schema

    described: dict[str, Any] = config_schema(Catalogue.installed())
    print_json(described)
