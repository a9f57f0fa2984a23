"""What a run would have embedded: texts, tokens and their price, by embedder, without embedding any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hookrag.ingest.failures import refuses_text
from hookrag.ingest.report import Estimate
from hookrag.ingest.rows import Texts
from hookrag.ingest.stores import attempt
from hookrag.protocols import Embedder, Tokenizing
from hookrag.runtime.proxies import Proxy

CHARACTERS_PER_TOKEN = 4
"""Of English text and the vocabularies that are common; other languages need up to four times the tokens."""


class Estimator:
    """Adds up what is needed; `estimates` gets an entry for each embedder that would be called."""

    def __init__(self, patience: float, estimates: list[Estimate]) -> None:
        self._estimates = estimates
        self._patience = patience
        self._by_key: dict[str, Estimate] = {}

    def add(self, texts: Mapping[str, Texts]) -> None:
        """Count the texts of a batch: each once for each embedder, as a run would embed them."""
        for key, group in texts.items():
            self._count(key, group.embedder, list(group.texts))

    def _count(self, key: str, embedder: Embedder, texts: Sequence[str]) -> None:
        component = embedder.instance.component if isinstance(embedder, Proxy) else embedder
        exact = hasattr(type(component), "tokens") and hasattr(type(component), "room")
        estimate = self._by_key.get(key)
        if estimate is None:
            name = str(embedder.step) if isinstance(embedder, Proxy) else type(embedder).__name__
            estimate = self._by_key[key] = Estimate(name, exact=exact, price=getattr(component, "price", None))
            self._estimates.append(estimate)
        estimate.texts += len(texts)
        if exact and isinstance(embedder, Tokenizing):
            spans = attempt(
                f"{estimate.embedder} failed in tokens", lambda: embedder.tokens(texts), refuses_text, self._patience
            )
            room = embedder.room("document")
            estimate.tokens += sum(min(len(one), room) for one in spans)
            estimate.truncated += sum(len(one) > room for one in spans)
        else:
            estimate.tokens += sum(-(-len(text) // CHARACTERS_PER_TOKEN) for text in texts)
