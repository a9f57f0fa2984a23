"""What this package offers."""

from __future__ import annotations

from hookrag import Component, Components, hookimpl

hookrag_api = 1


@hookimpl
def readers() -> Components:
    return {"html": Component("hookrag_readers.html:Html", "HTML files: the main text as light Markdown, titled.")}
