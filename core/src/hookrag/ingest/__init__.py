"""The ingest: how documents get into stores, and stay there, so that nothing is lost."""

from __future__ import annotations

from hookrag.disk.lock import writer
from hookrag.errors import IngestStopped
from hookrag.ingest.claims import check_identity
from hookrag.ingest.failures import RemovalRefused
from hookrag.ingest.items import Item, Skipped, Unread
from hookrag.ingest.report import Estimate, Problem, Progress, Report, Status, StoreCheck, StoreStatus, VerifyReport
from hookrag.ingest.run import Ingest
from hookrag.ingest.status import status
from hookrag.ingest.target import Target

__all__ = [
    "Estimate",
    "Ingest",
    "IngestStopped",
    "Item",
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
