"""The hooks that a plugin may implement. Each says what the plugin offers; none is called while a pipeline runs.

A plugin is a module that an entry point of the group `hookrag` names. It says `hookrag_api = 1` and implements the hooks of
the kinds it brings, each as a function that returns {name: Component("module:Class", "one line")}. Listing imports this
module only; the component's own module is imported when a configuration names it. Nothing becomes active by being installed.

    from hookrag import Component, hookimpl

    hookrag_api = 1

    @hookimpl
    def retrievers():
        return {"acme": Component("hookrag_acme.retriever:Acme", "Search in Acme.")}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pluggy

API = 1
"""The version of the hooks and protocols; a plugin made for another one is refused."""

hookspec = pluggy.HookspecMarker("hookrag")
hookimpl = pluggy.HookimplMarker("hookrag")


@dataclass(frozen=True, slots=True)
class Component:
    """Where a component is ("package.module:Class") and what it does, in one line. Imports nothing."""

    target: str
    summary: str


Components = Mapping[str, Component]


@hookspec
def chunkers() -> Components:  # type: ignore[empty-body]  # a hookspec has no body
    """Components that cut documents into chunks."""


@hookspec
def embedders() -> Components:  # type: ignore[empty-body]  # a hookspec has no body
    """Components that turn texts into dense, sparse or multiple vectors."""


@hookspec
def stores() -> Components:  # type: ignore[empty-body]  # a hookspec has no body
    """Components that keep chunks with their vectors and search them."""


@hookspec
def retrievers() -> Components:  # type: ignore[empty-body]  # a hookspec has no body
    """Components that find chunks for queries."""


@hookspec
def fusers() -> Components:  # type: ignore[empty-body]  # a hookspec has no body
    """Components that make one ranking out of several."""


@hookspec
def rerankers() -> Components:  # type: ignore[empty-body]  # a hookspec has no body
    """Components that score hits anew."""


@hookspec
def llms() -> Components:  # type: ignore[empty-body]  # a hookspec has no body
    """Language models."""


@hookspec
def generators() -> Components:  # type: ignore[empty-body]  # a hookspec has no body
    """Components that answer queries from what was found."""


@hookspec
def middleware() -> Components:  # type: ignore[empty-body]  # a hookspec has no body
    """Components that surround every call of the others."""


@hookspec
def readers() -> Components:  # type: ignore[empty-body]  # a hookspec has no body
    """Components that turn files into documents."""


@hookspec
def commands() -> Components:  # type: ignore[empty-body]  # a hookspec has no body
    """Subcommands of the command line: each target is a click command or group."""
