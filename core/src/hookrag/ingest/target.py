"""The stores that an ingest fills, and whether they hold what they are expected to hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
    are one embedder, whose vectors several stores share. `fenced` and `keeps_vectors`: see `Store`; a store that is not fenced
    is given time to settle after a run that was cut off. `check_files`, where the store can check its own files, does so and
    raises for what is damaged.
    """

    name: str
    store: Store
    recipe: str
    identity: Flat
    embed_key: Mapping[Output, str]
    fenced: bool = False
    keeps_vectors: Literal["exact", "lossy", "none"] = "exact"
    check_files: Callable[[], None] | None = None

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


def identity_error(pairs: Iterable[tuple[Target, Card]], folder: Path) -> IdentityError | None:
    """The error for stores whose rows were made in another way than new ones would be; None where all agree."""
    text, names = [], []
    for target, card in pairs:
        lines = differing(card.identity, target.identity)
        if lines:
            names.append(target.name)
            text += [f"{target} of the index in {folder} was made with other settings:", *lines[:5]]
            text += [f"  and {len(lines) - 5} more"] if len(lines) > 5 else []
    if not names:
        return None
    which, rebuild = ("its" if len(names) == 1 else "their"), " ".join(f"--rebuild {name}" for name in names)
    text.append(f"Set them back, or make {which} rows anew: hookrag index {rebuild} PATH...")
    return IdentityError("\n".join(text))
