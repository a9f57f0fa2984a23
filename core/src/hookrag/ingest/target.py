"""The stores that an ingest fills, and whether they hold what they are expected to hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hookrag.errors import IdentityError
from hookrag.protocols import Store
from hookrag.values import Card, Output

Flat = Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class Target:
    """One store of a pipeline.

    `recipe` is the fingerprint of everything that turns a document into rows of this store; when it changes, documents are
    cut again, and rows whose ids stay are kept. `identity` says what the vectors are; when it differs from the store's card,
    no row can be kept and the store is refused until it is rebuilt. `embed_key` names the embedder of each output: equal names
    are one embedder, whose vectors several stores share. `fenced`: see `Store.put`; a store that is not fenced is given time to
    settle after a run that was cut off. `check`: where the store can check its own files, does
    so and raises for what is damaged.
    """

    name: str
    store: Store
    recipe: str
    identity: Flat
    embed_key: Mapping[Output, str]
    fenced: bool = False
    check: Callable[[], None] | None = None

    def __str__(self) -> str:
        return f"[stores.{self.name}]"


def differing(old: Flat, new: Flat) -> list[str]:
    """The fields in which two identities differ, one line each, in alphabetical order."""

    def shown(identity: Flat, name: str) -> str:
        return repr(identity[name]) if name in identity else "nothing"

    names = sorted({*old, *new})
    return [
        f"  {name}: indexed with {shown(old, name)}, opened with {shown(new, name)}"
        for name in names
        if name not in old or name not in new or old[name] != new[name] or type(old[name]) is not type(new[name])
    ]


def identity_error(target: Target, card: Card, folder: Path) -> IdentityError | None:
    """The error for a store whose rows were made in another way than new ones would be; None where they agree."""
    lines = differing(card.identity, target.identity)
    if not lines:
        return None
    more = [f"  and {len(lines) - 5} more"] if len(lines) > 5 else []
    text = [
        f"{target} of the index in {folder} was made with other settings:",
        *lines[:5],
        *more,
        f"Set them back, or make its rows anew: hookrag index --rebuild {target.name} PATH...",
    ]
    return IdentityError("\n".join(text))


def check_identity(folder: Path, targets: Sequence[Target]) -> None:
    """Raise IdentityError where a store was made with other settings than it is opened with; a store never written is fine."""
    for target in targets:
        card = target.store.card()
        error = identity_error(target, card, folder) if card.owner else None
        if error is not None:
            raise error
