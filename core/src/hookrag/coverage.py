"""Whether the next generation of an index holds what the one before it held, by their journals."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hookrag.errors import IngestRefused
from hookrag.ingest.run import JOURNAL

SHOWN = 10

_BELOW = "({under} = '' OR {id} = {under} OR substr({id}, 1, length({under}) + 1) = {under} || '/')"
_PLACED = "EXISTS (SELECT 1 FROM {journal}.placed p WHERE p.document = d.n)"

# By the part of the source that was once listed completely, which is the path that was given then.
_LACKING = f"""
WITH given AS (SELECT json_extract(value, '$[0]') AS name, json_extract(value, '$[1]') AS under FROM json_each(?))
SELECT s.name, coalesce((
    SELECT l.under FROM listing l WHERE l.source = s.n AND {_BELOW.format(under="l.under", id="i.id")}
    ORDER BY length(l.under) LIMIT 1), '') AS part, count(*)
FROM document d JOIN item i ON i.n = d.item JOIN source s ON s.n = i.source
WHERE {_PLACED.format(journal="main")} AND NOT EXISTS (
    SELECT 1 FROM given g WHERE g.name = s.name AND {_BELOW.format(under="g.under", id="i.id")})
GROUP BY 1, 2 ORDER BY 1, 2
"""
_GONE = f"""
FROM main.document d JOIN main.item i ON i.n = d.item WHERE {_PLACED.format(journal="main")}
AND NOT EXISTS (SELECT 1 FROM next.document o WHERE o.id = d.id)
AND NOT EXISTS (SELECT 1 FROM json_each(?) e WHERE e.value = d.id OR {_BELOW.format(under="e.value", id="i.id")})
"""


@contextmanager
def _open(folder: Path) -> Iterator[sqlite3.Connection | None]:
    """The journal in the folder of a generation, for reading; None where nothing was ever indexed."""
    path = folder / JOURNAL
    if not path.exists():
        yield None
        return
    db = sqlite3.connect(path, isolation_level=None, timeout=10)
    try:
        yield db
    finally:
        db.close()


def known_stores(folder: Path) -> list[str]:
    """The names of the stores that a generation was written to."""
    with _open(folder) as db:
        return [name for (name,) in db.execute("SELECT name FROM store ORDER BY n")] if db else []


def owner_of(folder: Path) -> str:
    """The owner that a generation's journal gives its rows; "" where it has none."""
    with _open(folder) as db:
        found = db.execute("SELECT value FROM meta WHERE name = 'uuid'").fetchone() if db else None
    return str(found[0]) if found else ""


def covered(folder: Path, given: Sequence[tuple[str, str]]) -> None:
    """Raise IngestRefused where a generation has documents of a source, or a part of one, that is not among those given."""
    with _open(folder) as db:
        lacking = db.execute(_LACKING, (json.dumps(given),)).fetchall() if db else []
    if lacking:
        total = sum(count for _, _, count in lacking)
        lines = [f"  {count} of {_named(source, part)}" for source, part, count in lacking[:SHOWN]]
        lines += [f"  and of {len(lacking) - SHOWN} others"] if len(lacking) > SHOWN else []
        listed = "\n".join(lines)
        raise IngestRefused(
            f"{total} documents of the index in {folder.parent} come from what was not given, and would not be found any "
            f"more:\n{listed}\nGive all of it at once, or do without those documents: hookrag reindex --prune PATH..."
        )


def _named(source: str, part: str) -> str:
    if not source:
        return "no known source"
    if source == ".":
        return part or "the folder of the configuration"
    if not Path(source).is_absolute():
        return f"the source {source!r}, which was indexed from Python"
    return f"{source.rstrip('/')}/{part}" if part else source


def gone(folder: Path, following: Path, excused: Collection[str]) -> str:
    """Why the next generation cannot be believed to hold all it should, "" if it can; `excused` ids were reported otherwise.

    The rule is that of removing: something was there and nothing is, or more than ten documents and a tenth are gone.
    """
    with _open(folder) as db:
        if db is None:
            return ""
        db.execute("ATTACH DATABASE ? AS next", (str(following / JOURNAL),))
        bound = (json.dumps(list(excused)),)
        (lost,) = db.execute(f"SELECT count(*) {_GONE}", bound).fetchone()
        known, there = db.execute(
            f"SELECT (SELECT count(*) FROM document d WHERE {_PLACED.format(journal='main')}), "
            "EXISTS (SELECT 1 FROM next.placed)"
        ).fetchone()
        if not lost or (there and lost <= max(10, known / 10)):
            return ""
        names = [id for (id,) in db.execute(f"SELECT d.id {_GONE} ORDER BY d.id LIMIT {SHOWN}", bound)]
    listed = "".join(f"\n  {name}" for name in names) + (f"\n  and {lost - SHOWN} more" if lost > SHOWN else "")
    return f"{lost} of {known} documents are gone from what was given, which is hard to believe:{listed}\nNothing was switched"
