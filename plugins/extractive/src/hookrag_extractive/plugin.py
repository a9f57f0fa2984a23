"""What this package offers."""

from __future__ import annotations

from hookrag import Component, Components, hookimpl

hookrag_api = 1


@hookimpl
def generators() -> Components:
    return {"extractive": Component("hookrag_extractive.generator:Extractive", "Quotes the sentences that answer.")}
