"""The ingest: how documents get into stores, and stay there, so that nothing is lost.

A row is inserted or deleted, never changed: its id is a hash of what it holds. The journal knows of every row before a store
does. For each store a document has a live version, which is found, and at times a next one, which is on its way; what is owed
is rows that are still to be deleted. One process writes at a time.

    step     what it does                                                                       where
    R1       compare the card of each store with the journal, refuse a store that is not the    claims.py
             one remembered, and raise the epoch of the others
    R2       one transaction: the rest of every plan that a run left unfinished is owed; a      session.py
             server that may still get older writes is given time; then what is owed is dropped
    T1       plan, one transaction for a batch: note each row of the next versions              plans.py
    W        write: put those rows that a store lacks into it                                   session.py
    B        barrier: wait until every store has made them durable and visible                  session.py
    T2       confirm, one transaction: the next versions are live, and rows of the old ones     plans.py
             that they lack are owed; what was planned of a document that failed is owed
    D        drop what is owed, and wait until it is gone                                       stores.py
    T3       one transaction: what was dropped is not owed any more                             plans.py

A run does R1 and R2, then T1 to T3 for each batch, then for what is gone from the source; cut off anywhere, the next run's R2
is all there is to do. To remove a document, all of its rows are owed. At any moment:

1. every row of ours in a store is live, planned or owed;
2. live rows are in every store where their document is placed;
3. what is owed is neither live nor planned.

Killed with SIGKILL, or by a loss of power, a run leaves behind

    before T1     nothing: the same run again does the same
    in R1         an epoch that is pending, or a card with it: the next run accepts either
    T1 to B       a plan, and rows of it in some stores: R2 owes them
    B to T2       old and new rows, both found: R2 owes the new ones and drops them, and they are made again
    T2 to T3      new rows live and old ones owed: R2 drops them, once more if need be

So a query may see the old version of a document, the new one or both, but never neither. `work.py` shows the way of one
document through these steps, `session.py` the loop.
"""

from __future__ import annotations

from hookrag.disk.lock import writer
from hookrag.errors import IngestStopped
from hookrag.ingest.claims import check_identity
from hookrag.ingest.failures import RemovalRefused
from hookrag.ingest.items import Item, Skipped, Unread
from hookrag.ingest.options import Given, IngestOptions
from hookrag.ingest.prepare import Preparer
from hookrag.ingest.report import Estimate, Problem, Progress, Report, Status, StoreCheck, StoreStatus, VerifyReport
from hookrag.ingest.run import Ingest
from hookrag.ingest.status import status
from hookrag.ingest.target import Target

__all__ = [
    "Estimate",
    "Given",
    "Ingest",
    "IngestOptions",
    "IngestStopped",
    "Item",
    "Preparer",
    "Problem",
    "Progress",
    "RemovalRefused",
    "Report",
    "Skipped",
    "Status",
    "StoreCheck",
    "StoreStatus",
    "Target",
    "Unread",
    "VerifyReport",
    "check_identity",
    "status",
    "writer",
]
