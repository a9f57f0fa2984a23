"""What the commands share: the options that find a configuration, and the pipeline made from it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hookrag.cli.terminal import plain, styled

if TYPE_CHECKING:
    from hookrag.pipeline import Pipeline

F = TypeVar("F", bound=Callable[..., Any])


def config_option(command: F) -> F:
    """-c FILE."""
    return click.option(
        "-c",
        "--config",
        "config",
        type=click.Path(path_type=Path),
        help="The configuration; without it, hookrag.toml here or in a folder above.",
    )(command)


def pipeline_option(command: F) -> F:
    """--pipeline NAME."""
    return click.option(
        "--pipeline", "pipeline", default="default", show_default=True, help="Which [pipelines.*] to use."
    )(command)


def json_option(command: F) -> F:
    """--json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for a program; the docs give its shape.")(
        command
    )


def config_path(config: Path | None) -> Path:
    """The file that was named, or the nearest one."""
    from hookrag.config.file import find

    return config if config is not None else find(Path.cwd())


def pipeline_names(config: Path) -> list[str]:
    """The names of the pipelines of a configuration, in the order of the file."""
    from hookrag.config.file import load

    pipelines = load(config).tables.get("pipelines")
    # Where there is none, or what is none, making the default one says what is wrong.
    return list(pipelines) if isinstance(pipelines, dict) and pipelines else ["default"]


def say_if_empty(pipeline: Pipeline) -> None:
    """Say on standard error that nothing can be found because nothing was indexed, where that is so."""
    if pipeline.stores and not any(store.count() for store in pipeline.stores):
        click.echo("the index is empty: fill it with hookrag index PATH...", err=True)


def say_notes(notes: Mapping[str, Any]) -> None:
    """Say on standard error what components wanted the caller to know."""
    for name, value in notes.items():
        told = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        click.echo(styled(plain(f"{name}: {told}"), dim=True), err=True)


@contextmanager
def opened(config: Path | None, pipeline: str) -> Iterator[Pipeline]:
    """The pipeline of a configuration, closed at the end. With HOOKRAG_TRACE set, what happened is printed."""
    from hookrag.cli.terminal import print_trace
    from hookrag.pipeline import Pipeline
    from hookrag.runtime.trace import tracing

    with Pipeline.from_config(config_path(config), pipeline=pipeline) as made:
        if os.environ.get("HOOKRAG_TRACE"):
            with tracing() as trace:
                try:
                    yield made
                finally:
                    print_trace(trace)
        else:
            yield made
