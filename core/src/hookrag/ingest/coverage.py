"""Whether the next generation of an index holds what the one before it held, by their journals.

`here` is the folder of the generation that is searched.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hookrag.errors import IdentityError, IngestRefused
from hookrag.ingest.journal import JOURNAL, REMADE
from hookrag.ingest.reading import reading
from hookrag.ingest.removal import is_hard_to_believe
from hookrag.ingest.report import source_name

if TYPE_CHECKING:
    from hookrag.runtime.proxies import StoreProxy

SHOWN = 10

_BELOW = "({under} = '' OR {id} = {under} OR substr({id}, 1, length({under}) + 1) = {under} || '/')"
_DERIVED = "(SELECT n FROM main.source WHERE name IN (SELECT value FROM json_each(?2)))"
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
AND NOT EXISTS (SELECT 1 FROM json_each(?1) e WHERE e.value = d.id OR {_BELOW.format(under="e.value", id="i.id")})
AND i.source NOT IN {_DERIVED}
"""


def known_stores(folder: Path) -> dict[str, bool]:
    """The names of the stores that a generation was written to, and whether each holds documents."""
    sql = "SELECT name, EXISTS (SELECT 1 FROM placed p WHERE p.store = s.n) FROM store s ORDER BY n"
    with reading(folder) as db:
        return {name: bool(filled) for name, filled in db.execute(sql)} if db else {}


def known_parts(folder: Path) -> list[tuple[str, str]]:
    """Each source that a generation has documents of, with a part of it that was given; "" where that cannot be said."""
    sql = """SELECT s.name, coalesce(l.under, '') FROM source s LEFT JOIN listing l ON l.source = s.n
             WHERE EXISTS (SELECT 1 FROM item i JOIN document d ON d.item = i.n WHERE i.source = s.n)"""
    with reading(folder) as db:
        return db.execute(sql).fetchall() if db else []


def derived_sources(folder: Path) -> dict[str, str]:
    """The sources whose documents are made from what else is in a generation, each with the command that makes them again."""
    sql = "SELECT substr(name, length(?1) + 1), value FROM meta WHERE substr(name, 1, length(?1)) = ?1 ORDER BY 1"
    with reading(folder) as db:
        return dict(db.execute(sql, (REMADE,)).fetchall()) if db else {}


def owner_of(folder: Path) -> str:
    """The owner that a generation's journal gives its rows; "" where it has none."""
    with reading(folder) as db:
        found = db.execute("SELECT value FROM meta WHERE name = 'uuid'").fetchone() if db else None
    return str(found[0]) if found else ""


def refuse_nested(given: Sequence[tuple[Path, str]]) -> None:
    """Raise IngestRefused where one of the paths given lies in another, of another source: it would be there twice."""
    for path, source in given:
        for around, other in given:
            if source != other and path.is_relative_to(around):
                raise IngestRefused(
                    f"{path} lies in {around}, which was given too, and its documents would be in the index twice, by two ids: "
                    f"give {around} alone"
                )


def refuse_stores_without_table(here: Path, tables: Collection[str], config: Path | None) -> None:
    """Raise IngestRefused where a store holds documents and has no table: it would not be filled."""
    lacking = [f"[stores.{name}]" for name, filled in known_stores(here).items() if filled and name not in tables]
    if lacking:
        raise IngestRefused(
            f"{', '.join(lacking)} of the index in {here.parent} have no table in {config or 'the configuration'}, and what "
            f"they hold would not be found any more.\n"
            f"Put their tables into it, or do without these stores: hookrag reindex --prune PATH..."
        )


def refuse_unknown_stores(here: Path, stores: Sequence[StoreProxy]) -> None:
    """Raise IngestRefused where a store was filled and the journal does not know it: nor does it know from what.

    A store that it knows is not asked: it may be open in another process, or not be opened with the new settings.
    """
    known, mine = known_stores(here), owner_of(here)
    for store in stores:
        if store.step.name in known:
            continue
        try:
            owner = store.card().owner
        except IdentityError as error:
            raise IngestRefused(_unknown(here, store, f"{error}")) from error
        if owner == mine != "":
            raise IngestRefused(
                f"the journal in {here} is older than {store.step}: the store was written from it, but it does not remember "
                f"that.\nWas the journal restored from a backup? Compare and mend them: hookrag verify --repair"
            )
        if owner:
            journal = f"the journal is {mine}" if mine else "there is no journal"
            raise IngestRefused(_unknown(here, store, f"its owner is {owner}, {journal}"))


def _unknown(here: Path, store: StoreProxy, why: str) -> str:
    return (
        f"{store.step} holds what the journal in {here} does not know, so that nobody can say what has to be given: {why}.\n"
        f"Was the journal deleted? Make it anew, with the settings and all paths of the index: hookrag index --take-over "
        f"PATH...\nDoes another index write here? Give this one a store of its own. Or do without what is not given: "
        f"hookrag reindex --prune PATH..."
    )


def refuse_uncovered(folder: Path, given: Sequence[tuple[str, str]]) -> None:
    """Raise IngestRefused where a generation has documents of a source, or a part of one, that is not among those given.

    Derived sources need not be given: their documents are made of the others.
    """
    covered = [*given, *((name, "") for name in derived_sources(folder))]
    with reading(folder) as db:
        lacking = db.execute(_LACKING, (json.dumps(covered),)).fetchall() if db else []
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
    if source in ("", "."):
        return source_name(source, part)
    if not Path(source).is_absolute():
        return f"the source {source!r}, which was indexed from Python"
    return f"{source.rstrip('/')}/{part}" if part else source


def implausible_loss(folder: Path, following: Path, excused: Collection[str]) -> str:
    """Why the next generation cannot be believed to hold all it should, "" if it can; `excused` ids were reported otherwise.

    As when removing: something was there and nothing is, or too much is gone.
    """
    with reading(folder) as db:
        if db is None:
            return ""
        db.execute("ATTACH DATABASE ? AS next", (str(following / JOURNAL),))
        bound = (json.dumps(list(excused)), json.dumps(list(derived_sources(folder))))
        (lost,) = db.execute(f"SELECT count(*) {_GONE}", bound).fetchone()
        known, there = db.execute(
            f"SELECT (SELECT count(*) FROM document d JOIN item i ON i.n = d.item WHERE {_PLACED.format(journal='main')} "
            f"AND i.source NOT IN {_DERIVED}), EXISTS (SELECT 1 FROM next.placed), ?1",
            bound,
        ).fetchone()[:2]
        if not lost or (there and not is_hard_to_believe(lost, known)):
            return ""
        names = [id for (id,) in db.execute(f"SELECT d.id {_GONE} ORDER BY d.id LIMIT {SHOWN}", bound)]
    listed = "".join(f"\n  {name}" for name in names) + (f"\n  and {lost - SHOWN} more" if lost > SHOWN else "")
    return f"{lost} of {known} documents are gone from what was given, which is hard to believe:{listed}\nNothing was switched"
