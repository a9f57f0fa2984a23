"""hookrag: retrieval-augmented generation built out of plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hookrag.calls import Call, Proceed
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
    ItemRejected,
    PluginError,
    ReadError,
    TransientError,
)
from hookrag.filters import Filter
from hookrag.filters import parse as parse_filter
from hookrag.hookspecs import Component, Components, hookimpl
from hookrag.ordering import best
from hookrag.protocols import (
    LLM,
    Chunker,
    DenseStore,
    Embedder,
    Emit,
    Fuser,
    Generational,
    Generator,
    Middleware,
    MultiStore,
    Reader,
    Reranker,
    Retriever,
    SparseStore,
    Store,
    TextStore,
    TokenizingEmbedder,
)
from hookrag.request import deadline, explaining, fan_out, time_left
from hookrag.trace import Span, note, tracing
from hookrag.values import (
    PAGE_BREAK,
    Answer,
    Card,
    Chunk,
    Citation,
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
    Usage,
    Vectors,
    chunk_of,
    derived,
)

if TYPE_CHECKING:
    from hookrag.pipeline import Pipeline

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Pipeline brings the builder and the ingest with it, which a plugin that only needs the values should not pay for.
    if name == "Pipeline":
        from hookrag.pipeline import Pipeline

        return Pipeline
    raise AttributeError(f"module 'hookrag' has no attribute {name!r}")


__all__ = [
    "LLM",
    "PAGE_BREAK",
    "Answer",
    "BudgetExceeded",
    "Call",
    "Cancelled",
    "Card",
    "Chunk",
    "Chunker",
    "Citation",
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
    "Fuser",
    "Generational",
    "Generator",
    "Hit",
    "HookragError",
    "Identity",
    "IdentityError",
    "IndexLocked",
    "IngestRefused",
    "ItemRejected",
    "Message",
    "Middleware",
    "MultiStore",
    "Output",
    "Part",
    "Pipeline",
    "PluginError",
    "Proceed",
    "Query",
    "Ranking",
    "ReadError",
    "Reader",
    "Reranker",
    "Retriever",
    "Role",
    "Row",
    "RowKey",
    "ScoreKind",
    "Span",
    "SparseRows",
    "SparseStore",
    "Step",
    "Store",
    "TextStore",
    "TokenizingEmbedder",
    "TransientError",
    "Usage",
    "Vectors",
    "best",
    "chunk_of",
    "deadline",
    "derived",
    "explaining",
    "fan_out",
    "hookimpl",
    "note",
    "parse_filter",
    "time_left",
    "tracing",
]
