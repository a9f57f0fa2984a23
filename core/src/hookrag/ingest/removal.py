"""What may be removed: documents that a source no longer has, where the source was read to its end and looks like itself."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hookrag.ingest import plans
from hookrag.ingest.failures import RemovalRefused
from hookrag.ingest.journal import Journal
from hookrag.ingest.report import Report, source_name

if TYPE_CHECKING:
    from hookrag.ingest.options import Given, IngestOptions

AT_ONCE = 1000

# Of a source that was listed completely, everything that was not met; of one that was not, what is gone from items that were
# read completely. To prune includes what a store that was taken over held of no known source.
_UNIVERSE = """
FROM document d JOIN item i ON i.n = d.item LEFT JOIN temp.seen_item s ON s.n = i.n
WHERE d.n <= :before AND i.source IN (:source, :unknown) AND CASE WHEN i.source = :source
    THEN s.loaded OR :complete AND (:under = '' OR i.id = :under OR substr(i.id, 1, :long) = :under || '/')
    ELSE :prune AND :complete AND (:under = '' OR d.id = :under OR substr(d.id, 1, :long) = :under || '/') END
"""
# Conditions that SQLite looks up row by row: for an OR of sources or a NOT IN it would collect all rows in memory.
_GONE = f"""
{_UNIVERSE} AND CASE WHEN s.n IS NULL THEN 1
    WHEN s.loaded THEN NOT EXISTS (SELECT 1 FROM temp.seen WHERE id = d.id) ELSE 0 END
"""
# While something could not be read: what may be there instead stays. Removed is what is named by a file that is gone, and when
# pruning everything outside of what was not read.
_SURE = """
AND (:prune OR s.n IS NULL AND (d.id = i.id OR substr(d.id, 1, length(i.id) + 1) = i.id || '#'))
AND NOT EXISTS (
    SELECT 1 FROM temp.unread u WHERE u.id = '.' OR i.id = u.id OR substr(i.id, 1, length(u.id) + 1) = u.id || '/')
"""


def is_hard_to_believe(gone: int, known: int) -> bool:
    """Whether more than ten documents and a tenth of those known are gone."""
    return gone > max(10, known / 10)


def remove_gone(
    journal: Journal, given: Given, options: IngestOptions, report: Report, *, source: int, before: int
) -> None:
    """Remove the documents that are gone; `before` is the highest number of a document when the run began.

    Raises RemovalRefused, having removed nothing, where too much is gone to believe it; a dry run says so in the report.
    """
    bound = {
        "before": before,
        "source": source,
        "complete": given.complete,
        "prune": options.prune,
        "under": given.under,
        "long": len(given.under) + 1,
        "unknown": journal.find_source(""),
    }
    db = journal.db
    device = os.stat(given.root).st_dev if given.root is not None and given.root.exists() else None
    (all_gone,) = db.execute(f"SELECT count(*) {_GONE}", bound).fetchone()
    which, gone = _GONE, all_gone
    if report.unread and all_gone:
        db.execute("CREATE TEMP TABLE unread (id TEXT PRIMARY KEY) WITHOUT ROWID")
        unread = ((problem.id.rstrip("/"),) for problem in report.unread)
        db.executemany("INSERT OR IGNORE INTO temp.unread VALUES (?)", unread)
        which = _GONE + _SURE
        (gone,) = db.execute(f"SELECT count(*) {which}", bound).fetchone()
        report.held = all_gone - gone
    if gone:
        (known,) = db.execute(f"SELECT count(*) {_UNIVERSE}", bound).fetchone()
        listing = "SELECT device FROM listing WHERE source = ? AND under = ?"
        found = db.execute(listing, (source, given.under)).fetchone()
        reason = ""
        if not options.prune:
            reason = _doubt(report, gone, known, device_before=found[0] if found else None, device=device)
        if reason:
            report.held = all_gone
            where = source_name(given.source, given.under)
            names = [id for (id,) in db.execute(f"SELECT d.id {which} ORDER BY d.id LIMIT 10", bound)]
            listed = "".join(f"\n  {name}" for name in names) + (f"\n  and {gone - 10} more" if gone > 10 else "")
            report.refused = (
                f"{gone} of {known} documents of {where} are gone, and {reason}: they were not removed. "
                f"Everything else is done.{listed}\nIf they are meant to go: hookrag index --prune PATH..."
            )
            if not options.dry_run:
                raise RemovalRefused(report.refused, report)
        else:
            report.removed = gone
    if options.dry_run or report.refused:
        return
    if gone:
        db.execute(f"CREATE TEMP TABLE gone AS SELECT d.n {which}", bound)
        for start in range(0, gone, AT_ONCE):
            part = db.execute("SELECT n FROM temp.gone WHERE rowid > ? ORDER BY rowid LIMIT ?", (start, AT_ONCE))
            plans.remove(journal, [n for (n,) in part])
    if given.complete and not report.unread:
        _tidy(journal, source, given.under, device)


def _doubt(report: Report, gone: int, known: int, *, device_before: int | None, device: int | None) -> str:
    if report.items == 0:
        return "nothing at all was found there"
    if device_before is not None and device is not None and device != device_before:
        return f"the folder lies on another device than before (device {device}, before {device_before})"
    if is_hard_to_believe(gone, known):
        return "that is more than ten documents and a tenth of them"
    return ""


def _tidy(journal: Journal, source: int, under: str, device: int | None) -> None:
    """Forget items that are gone with their documents, and remember where the source lies."""
    with journal.transaction("tidy"):
        gone = """(SELECT n FROM item WHERE source = :source AND NOT EXISTS (SELECT 1 FROM temp.seen_item s WHERE s.n = item.n)
                   AND (:under = '' OR id = :under OR substr(id, 1, :long) = :under || '/')
                   AND NOT EXISTS (SELECT 1 FROM document WHERE item = item.n))"""
        bound = {"source": source, "under": under, "long": len(under) + 1}
        journal.db.execute(f"DELETE FROM failed WHERE item IN {gone}", bound)
        journal.db.execute(f"DELETE FROM item WHERE n IN {gone}", bound)
        journal.db.execute("INSERT OR REPLACE INTO listing VALUES (?, ?, ?)", (source, under, device))
