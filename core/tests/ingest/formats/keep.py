"""Writes down what this release leaves on the disk, for every later one to open.

Run `python core/tests/ingest/formats/keep.py` when the format of the journal has changed, before the first release with it.
The files that it wrote are never changed.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from contextlib import closing, suppress
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from fakes import Died, FakeStore, run  # noqa: E402
from hookrag.ingest import formats  # noqa: E402

BEFORE = [("a", "one\ntwo"), ("b", "three"), ("c", ""), ("é", "naïve\nBAD"), ("gone", "four")]
AFTER = [("a", "one\nzwei"), ("b", "three"), ("c", ""), ("é", "naïve\nBAD")]


def main() -> None:
    kept = HERE / f"store-{formats.newest()}.jsonl"
    kept.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder, store = Path(name), FakeStore(path=kept)
        run(folder, [store], BEFORE)
        run(folder, [store], [("x", "five")], source="other")

        def die(place: str) -> None:
            if place == "T2: before":
                raise Died

        with suppress(Died):  # a plan is left unfinished, and the store holds rows of it
            run(folder, [store], AFTER, fault=die)
        with closing(sqlite3.connect(folder / "journal.sqlite3")) as db:
            lines = [
                f"PRAGMA {name} = {db.execute(f'PRAGMA {name}').fetchone()[0]};"
                for name in ("application_id", "user_version")
            ]
            (HERE / f"journal-{formats.newest()}.sql").write_text(
                "\n".join([*lines, *db.iterdump()]) + "\n", encoding="utf-8"
            )


if __name__ == "__main__":
    main()
