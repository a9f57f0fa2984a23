"""`hookrag models`: fetch, list and verify the models that can be had by name."""

from __future__ import annotations

import click

from hookrag_transformers.fetch import fetch, is_intact
from hookrag_transformers.models import KNOWN, ModelError, locate, models_folder, packaged


@click.group()
def models() -> None:
    """Fetch, list and verify models."""


@models.command("fetch")
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--all", "everything", is_flag=True, help="Every model that is known by name.")
def fetch_command(names: tuple[str, ...], everything: bool) -> None:
    """Download models with pip and unpack their data; no code of the packages is run."""
    if everything == bool(names):
        raise click.UsageError(f"name models to fetch, or give --all; known are {', '.join(KNOWN)}")
    try:
        fetch(KNOWN if everything else names, click.echo)
    except ModelError as error:
        raise click.ClickException(str(error)) from error


@models.command("list")
def list_command() -> None:
    """Show the known models and where they are."""
    click.echo(f"models folder: {models_folder()}")
    width = max(map(len, KNOWN))
    for name, known in KNOWN.items():
        if (models_folder() / name / known.weights).is_file():
            place = "fetched"
        elif packaged(known) is not None:
            place = f"in the package {known.requirement.partition('==')[0]}"
        else:
            place = "not here"
        click.echo(f"{name:{width}}  {place:8}  {known.summary}")


@models.command("verify")
@click.argument("names", nargs=-1, metavar="[NAME...]")
def verify_command(names: tuple[str, ...]) -> None:
    """Compare the weights on this machine with their published sha256; without names, of all models that are here."""
    unknown = [name for name in names if name not in KNOWN]
    if unknown:
        raise click.UsageError(f"no model is called {', '.join(unknown)}; known are {', '.join(KNOWN)}")
    damaged = []
    for name, known in KNOWN.items():
        if names and name not in names:
            continue
        try:
            folder = locate(name).folder
        except ModelError as error:
            if names:
                raise click.ClickException(str(error)) from error
            continue
        intact = is_intact(known, folder)
        click.echo(f"{name}: {'intact' if intact else 'DAMAGED'} ({folder / known.weights})")
        if not intact:
            damaged.append(name)
    if damaged:
        raise click.ClickException(f"damaged: fetch again with `hookrag models fetch {' '.join(damaged)}`")
