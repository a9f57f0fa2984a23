"""XML as a stream of events, read by expat: no tree, no entities, nothing from outside the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Protocol
from xml.parsers import expat

from hookrag_readers.parsers.sink import RefusedError

DEEPEST = 500
Attributes = Mapping[str, str]


class Handler(Protocol):
    """Takes the events, with names without their namespaces, of which Office has two sets; a relation is named by `r:id`."""

    def start(self, tag: str, attributes: Attributes) -> None: ...

    def end(self, tag: str) -> None: ...

    def data(self, text: str) -> None: ...


def scan(blocks: Iterable[bytes], handler: Handler, name: str) -> None:
    """Hand the events of one part to the handler. Raises RefusedError where it is no XML, too deep, or has a DOCTYPE."""
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise RefusedError(f"nests {name} more than {DEEPEST} levels deep: it is damaged, or made to do harm")
        handler.start(local(tag), {_key(key): value for key, value in attributes.items()} if attributes else _NONE)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        handler.end(local(tag))

    def doctype(*_: object) -> None:
        raise RefusedError(
            f"declares a DOCTYPE in {name}, which such files never have: it is damaged, or made to do harm"
        )

    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = handler.data
    parser.StartDoctypeDeclHandler = doctype
    try:
        for block in blocks:
            parser.Parse(block)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise RefusedError(f"is damaged: {name} is not well-formed XML: {error}") from None


_NONE: Attributes = {}


@lru_cache(4096)
def local(name: str) -> str:
    return name.rpartition("}")[2]


@lru_cache(4096)
def _key(name: str) -> str:
    """The name of an attribute: `r:id`, which names a relation, stays apart from `id`."""
    space, _, key = name.rpartition("}")
    return f"r:{key}" if space.endswith("/relationships") else key


class Elements:
    """Collects (tag, attributes, text) of every element, in the order of their ends: for small parts only."""

    def __init__(self) -> None:
        self.found: list[tuple[str, Attributes, str]] = []
        self._open: list[tuple[str, Attributes, list[str]]] = []

    def start(self, tag: str, attributes: Attributes) -> None:
        self._open.append((tag, attributes, []))

    def end(self, tag: str) -> None:
        name, attributes, pieces = self._open.pop()
        self.found.append((name, attributes, "".join(pieces)))

    def data(self, text: str) -> None:
        if self._open:
            self._open[-1][2].append(text)


def elements(blocks: Iterable[bytes], name: str) -> list[tuple[str, Attributes, str]]:
    """Every element of a part with its own text, in the order of their ends."""
    handler = Elements()
    scan(blocks, handler, name)
    return handler.found
