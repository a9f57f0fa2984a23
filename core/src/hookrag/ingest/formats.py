"""The format of the journal's file: a newer one is refused, an older one is migrated, after a copy of it was made."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from hookrag.disk import durable
from hookrag.errors import IdentityError

MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = ()
"""The first makes format 2 out of format 1, and so on. They run inside one transaction and must not end it."""


def newest() -> int:
    """The format that this hookrag writes."""
    return 1 + len(MIGRATIONS)


def refuse_newer(found: int, path: Path) -> None:
    """Raise IdentityError for a format that this hookrag does not know."""
    if found > newest():
        raise IdentityError(
            f"the journal {path} has format {found}, this hookrag knows up to {newest()}: use a newer hookrag"
        )


def migrate(db: sqlite3.Connection, path: Path, found: int, fault: Callable[[str], None]) -> None:
    """Copy the journal to `<name>.format-<found>.bak` beside it, then bring it to the newest format in one transaction.

    Cut off at any moment, the journal is as it was or migrated, and the copy is whole or not there.
    """
    copy = path.with_name(f"{path.name}.format-{found}.bak")
    with durable.replacing(copy) as part:
        target = sqlite3.connect(part)
        try:
            db.backup(target)
        finally:
            target.close()
    fault("migrate: copied")
    db.execute("BEGIN IMMEDIATE")
    for migration in MIGRATIONS[found - 1 :]:
        migration(db)
    db.execute(f"PRAGMA user_version = {newest()}")
    fault("migrate: inside")
    db.execute("COMMIT")
    fault("migrate: after")
