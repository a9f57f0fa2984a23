"""`hookrag plugins`: what is installed, and what the options of a component mean."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

import click

from hookrag.cli.common import json_option
from hookrag.cli.exits import Exit
from hookrag.cli.terminal import print_json, print_table
from hookrag.errors import HookragError

if TYPE_CHECKING:
    from hookrag.config.catalogue import Catalogue, Offer


@click.command()
@click.argument("words", nargs=-1, metavar="[[KIND] NAME]")
@click.option("-v", "--verbose", is_flag=True, help="Import every component and say which cannot be loaded.")
@json_option
def plugins(words: tuple[str, ...], verbose: bool, as_json: bool) -> None:
    """List the components that installed plugins offer, or show the options of one.

    The names are what `use = "..."` takes. Where several components have one name, say KIND NAME or kind:name. The list
    imports nothing but the plugins' registrations, unless --verbose.
    """
    from hookrag.config.catalogue import Catalogue

    catalogue = Catalogue.installed()
    if words:
        _show(_named(catalogue, words), as_json)
    else:
        _list(catalogue, verbose, as_json)


def _list(catalogue: Catalogue, verbose: bool, as_json: bool) -> None:
    from hookrag.values import KINDS

    offers = [offer for kind in KINDS for offer in catalogue.of_kind(kind)]
    broken = {}
    if verbose:
        for offer in offers:
            try:
                offer.load()
            except HookragError as error:
                broken[offer.kind, offer.name] = str(error)
    problems = [*catalogue.problems, *broken.values()]
    if as_json:
        print_json({"components": [_told(offer) for offer in offers], "problems": problems})
    else:
        rows = [(o.kind, o.name, f"{o.plugin} {o.version}".strip(), o.component.summary) for o in offers]
        print_table(("kind", "use", "plugin", "what it does"), rows)
        for problem in problems:
            click.echo(problem, err=True)
    if problems:
        raise click.exceptions.Exit(Exit.FAILED)


def _told(offer: Offer) -> dict[str, str]:
    return {
        "kind": offer.kind,
        "name": offer.name,
        "plugin": offer.plugin,
        "version": offer.version,
        "summary": offer.component.summary,
    }


def _named(catalogue: Catalogue, words: tuple[str, ...]) -> Offer:
    """The component that the words name; a usage error, with the nearest name, where there is none or there are several."""
    from hookrag.config.catalogue import KNOWN
    from hookrag.config.describe import kind_named

    if len(words) > 2:
        raise click.UsageError(f"expected NAME or KIND NAME, got {' '.join(words)!r}")
    before, _, name = words[0].rpartition(":") if len(words) == 1 else (words[0], "", words[1])
    kind = kind_named(before)
    offers = [offer for same in catalogue.offers.values() for offer in same]
    if before and not kind and (len(words) == 2 or before not in {offer.plugin for offer in offers}):
        known = sorted({offer.kind for offer in offers})
        raise click.UsageError(f"there is no kind {before!r}{_hint(before, known)} The kinds are {', '.join(known)}.")
    among = [o for o in offers if not before or o.kind == kind or (not kind and o.plugin == before)]
    found = sorted((offer for offer in among if offer.name == name), key=lambda offer: (offer.kind, offer.plugin))
    if len(found) == 1:
        return found[0]
    what = kind or "component"
    if found:
        ways = [f"hookrag plugins {o.kind} {o.name}" for o in found]
        if len(set(ways)) < len(ways):
            ways = [f"hookrag plugins {o.plugin}:{o.name}" for o in found]
        raise click.UsageError(f"{len(found)} components are called {name!r}: say {' or '.join(ways)}")
    packages = sorted({package for (k, n), package in KNOWN.items() if n == name and kind in (None, k)})
    if packages:
        raise click.UsageError(f"the {what} {name!r} is not installed: pip install {' or '.join(packages)}")
    raise click.UsageError(f"no {what} is called {name!r}{_hint(name, sorted({o.name for o in among}))}")


def _hint(word: str, known: list[str]) -> str:
    near = get_close_matches(word, known, 1)
    return f". Did you mean {near[0]!r}?" if near else "."


def _show(offer: Offer, as_json: bool) -> None:
    from hookrag.config.describe import options_of

    options = [] if offer.kind == "command" else options_of(offer.load(), offer.kind)
    if as_json:
        print_json({**_told(offer), "options": [option.to_json() for option in options]})
        return
    version = f"{offer.plugin} {offer.version}".strip()
    click.echo(f"{offer.kind} {offer.name} ({version}): {offer.component.summary}")
    if offer.kind == "command":
        click.echo(f"its options: hookrag {offer.name} --help")
    elif not options:
        click.echo("it has no options")
    else:
        rows = [(one.name, one.kind, one.default, one.description) for one in options]
        print_table(("option", "is", "default", "what it means"), rows)
