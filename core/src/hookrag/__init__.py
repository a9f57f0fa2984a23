"""hookrag: retrieval-augmented generation built out of plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hookrag.chunks import chunk_of, derived
from hookrag.errors import (
    BudgetExceeded,
    Cancelled,
    ComponentError,
    ConfigError,
    ContractError,
    DeadlineExceeded,
    HookragError,
    IdentityError,
    IndexLocked,
    IngestRefused,
    IngestStopped,
    ItemRejected,
    JournalDamaged,
    PluginError,
    ReadError,
    TransientError,
)
from hookrag.filters import Filter, FilterError, contains_any
from hookrag.filters import parse as parse_filter
from hookrag.hookspecs import Component, Components, hookimpl
from hookrag.protocols import (
    LLM,
    Call,
    Chunker,
    DenseStore,
    Embedder,
    Emit,
    Fuser,
    Generational,
    Generator,
    Middleware,
    MultiStore,
    NextTokenLLM,
    Proceed,
    Reader,
    Reranker,
    Retriever,
    ScoringLLM,
    Session,
    SessionLLM,
    SparseStore,
    Store,
    TextStore,
    TokenizingEmbedder,
)
from hookrag.runtime.request import (
    current_request,
    deadline,
    explaining,
    fan_out,
    outside_allowed,
    time_left,
)
from hookrag.runtime.trace import Span, note, tracing
from hookrag.values import (
    PAGE_BREAK,
    Answer,
    Card,
    Chunk,
    Citation,
    CitationStatus,
    Completion,
    Document,
    Event,
    Hit,
    Identity,
    Message,
    Output,
    Part,
    Query,
    Ranking,
    Role,
    Row,
    RowKey,
    ScoreKind,
    SparseRows,
    Step,
    Tool,
    ToolCall,
    Usage,
    Vectors,
    best,
)

if TYPE_CHECKING:
    from hookrag.config.tables import component
    from hookrag.index.reindex import SwitchRefused
    from hookrag.ingest import Item, Progress, RemovalRefused, Report, Skipped, Unread
    from hookrag.options import Above, AtLeast, AtMost, Between, Finite, Limit, Matching, NotEmpty, checked
    from hookrag.pipeline import Pipeline

__version__ = "0.1.0"


# These bring the builder, the ingest and the options with them, which whoever only needs the values should not pay for.
_LATE = {
    "Pipeline": "hookrag.pipeline",
    "component": "hookrag.config.tables",
    "SwitchRefused": "hookrag.index.reindex",
    **dict.fromkeys(("Item", "Progress", "RemovalRefused", "Report", "Skipped", "Unread"), "hookrag.ingest"),
    **dict.fromkeys(
        ("Above", "AtLeast", "AtMost", "Between", "Finite", "Limit", "Matching", "NotEmpty", "checked"),
        "hookrag.options",
    ),
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        from importlib import import_module

        return getattr(import_module(_LATE[name]), name)
    raise AttributeError(f"module 'hookrag' has no attribute {name!r}")


__all__ = [
    "LLM",
    "PAGE_BREAK",
    "Above",
    "Answer",
    "AtLeast",
    "AtMost",
    "Between",
    "BudgetExceeded",
    "Call",
    "Cancelled",
    "Card",
    "Chunk",
    "Chunker",
    "Citation",
    "CitationStatus",
    "Completion",
    "Component",
    "ComponentError",
    "Components",
    "ConfigError",
    "ContractError",
    "DeadlineExceeded",
    "DenseStore",
    "Document",
    "Embedder",
    "Emit",
    "Event",
    "Filter",
    "FilterError",
    "Finite",
    "Fuser",
    "Generational",
    "Generator",
    "Hit",
    "HookragError",
    "Identity",
    "IdentityError",
    "IndexLocked",
    "IngestRefused",
    "IngestStopped",
    "Item",
    "ItemRejected",
    "JournalDamaged",
    "Limit",
    "Matching",
    "Message",
    "Middleware",
    "MultiStore",
    "NextTokenLLM",
    "NotEmpty",
    "Output",
    "Part",
    "Pipeline",
    "PluginError",
    "Proceed",
    "Progress",
    "Query",
    "Ranking",
    "ReadError",
    "Reader",
    "RemovalRefused",
    "Report",
    "Reranker",
    "Retriever",
    "Role",
    "Row",
    "RowKey",
    "ScoreKind",
    "ScoringLLM",
    "Session",
    "SessionLLM",
    "Skipped",
    "Span",
    "SparseRows",
    "SparseStore",
    "Step",
    "Store",
    "SwitchRefused",
    "TextStore",
    "TokenizingEmbedder",
    "Tool",
    "ToolCall",
    "TransientError",
    "Unread",
    "Usage",
    "Vectors",
    "best",
    "checked",
    "chunk_of",
    "component",
    "contains_any",
    "current_request",
    "deadline",
    "derived",
    "explaining",
    "fan_out",
    "hookimpl",
    "note",
    "outside_allowed",
    "parse_filter",
    "time_left",
    "tracing",
]
