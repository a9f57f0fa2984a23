"""A table that was read, before anything is made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from hookrag.config.signature import MISSING, Parameter
from hookrag.values import KINDS


@dataclass(frozen=True, slots=True)
class Plan:
    """A table that was read: its class, its plain values, and the names that each reference parameter holds."""

    kind: str
    name: str
    use: str
    cls: type
    plugin_version: str
    parameters: Mapping[str, Parameter]
    values: Mapping[str, Any]
    references: Mapping[str, Any]

    @property
    def table(self) -> tuple[str, str]:
        return KINDS[self.kind], self.name

    @property
    def defaults(self) -> dict[str, Any]:
        """The plain values of the keys that the table leaves out."""
        return {k: p.default for k, p in self.parameters.items() if p.default is not MISSING and p.reference is None}

    def fingerprint(self, settings: Mapping[str, Any], references: Mapping[str, Any]) -> str:
        """Equal for tables that stand for the same component: class, its version, settings, and what it refers to."""
        named = {
            key: [proxy.step.fingerprint for proxy in flat(reference) if proxy is not None]
            + (list(reference) if isinstance(reference, dict) else [])
            for key, reference in references.items()
        }
        local = id(self.cls) if "<locals>" in self.cls.__qualname__ else 0
        told = [self.kind, self.cls.__module__, self.cls.__qualname__, local]
        told += [self.plugin_version, getattr(self.cls, "version", 1)]
        text = json.dumps([told, settings, named], sort_keys=True, default=str)
        return blake2b(text.encode(), digest_size=16).hexdigest()


def flat(reference: Any) -> list[Any]:
    """What a parameter refers to, alone, in a list or in a table, as a list."""
    if isinstance(reference, list):
        return reference
    return list(reference.values()) if isinstance(reference, dict) else [reference]


def kebab(name: str) -> str:
    """The name of a class as `use` would have it.

    >>> kebab("ScriptedLLM"), kebab("HTMLReader"), kebab("Bm25")
    ('scripted-llm', 'html-reader', 'bm25')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()
