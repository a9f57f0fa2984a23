"""The command `init`."""

from __future__ import annotations

from pathlib import Path

import click

from hookrag.errors import ConfigError


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option("--force", is_flag=True, help="Write over a hookrag.toml that is there.")
def init(folder: Path, force: bool) -> None:
    """Write a commented hookrag.toml that fits what is installed.

    With all of hookrag[default] it searches by meaning and by words, reranks, and answers with quoted sentences.
    """
    from hookrag.cli.starter import starter
    from hookrag.config.catalogue import Catalogue
    from hookrag.config.file import NAME
    from hookrag.disk import durable

    path = folder / NAME
    if path.exists() and not force:
        raise ConfigError([f"{path} is there already: edit it, or write over it with --force"])
    catalogue = Catalogue.installed()
    text = starter({(offer.kind, offer.name) for offers in catalogue.offers.values() for offer in offers})
    folder.mkdir(parents=True, exist_ok=True)
    durable.write(path, text)
    click.echo(f"wrote {path}\nnext: hookrag index PATH..., then hookrag ask")
