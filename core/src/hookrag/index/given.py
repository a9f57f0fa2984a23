"""Files and folders that a caller gave to be indexed, named as the index knows them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hookrag.errors import IngestRefused
from hookrag.ingest import Given
from hookrag.ingest.coverage import known_parts
from hookrag.ingest.files import Files
from hookrag.runtime.proxies import ReaderProxy

SHOWN = 10


def given_files(path: Path, readers: Mapping[str, ReaderProxy], *, base: Path, index: Path) -> Given:
    """A file, or a folder with all below it; its documents are named from `base`, or from the folder above elsewhere.

    What lies in `base` is of the source ".", so that a project that is moved with its index is the same. What the generation
    in the folder `index` has as a part or as the whole of something keeps the source and the ids that it has there; `doubled`
    are the paths below whose documents have other ids there.
    """
    recipes = {suffix: reader.step.fingerprint for suffix, reader in readers.items()}
    where, base = path.resolve(), base.resolve()
    known = [(base if name == "." else Path(name), under) for name, under in known_parts(index)]
    parts = [(root, root / under) for root, under in known if root.is_absolute()]
    roots = [
        root
        for root, part in parts
        if where.is_relative_to(root) and (where.is_relative_to(part) or part.is_relative_to(where))
    ]
    default = base if where.is_relative_to(base) else where.parent
    root = max(roots, key=lambda one: len(one.parts), default=default)
    found = Files(where, readers, root=root, recipes=recipes)
    return Given(
        documents=found,
        source="." if found.root == base else str(found.root),
        complete=True,
        under=found.under,
        root=where if where.is_dir() else None,
        count=found.count,
        path=where,
        doubled=[part for other, part in parts if other != found.root and part.is_relative_to(where)],
    )


def refuse_doubled(given: Given) -> None:
    """Raise IngestRefused where the index has documents of it by other ids, which would be found twice."""
    if given.doubled:
        tops = [part for part in sorted(set(given.doubled)) if not any(up in given.doubled for up in part.parents)]
        listed = "".join(f"\n  {part}" for part in tops[:SHOWN])
        listed += f"\n  and {len(tops) - SHOWN} more" if len(tops) > SHOWN else ""
        raise IngestRefused(
            f"{given.path} contains what was indexed by itself, whose documents would be in the index twice, by two ids:"
            f"{listed}\nIndex that and what lies beside it by themselves, or make the index anew with the whole in their "
            f"place: hookrag reindex --prune PATH..."
        )
