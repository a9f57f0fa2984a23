"""What this package offers."""

from __future__ import annotations

from hookrag import Component, Components, hookimpl

hookrag_api = 1


@hookimpl
def generators() -> Components:
    return {
        "cited": Component("hookrag_citations.generator:Cited", "Answers of a language model with checked citations.")
    }
