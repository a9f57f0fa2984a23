"""The fields of a row, whose words are counted apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hookrag import Chunk

METADATA = "metadata."


@dataclass(frozen=True, slots=True)
class Field:
    """What is indexed of a row under one name, and how it counts in a score: its weight, and how far its length matters.

    "" is context and text as one; "context" (the title, or the path of sections), "text", and "metadata.KEY", of which texts
    and lists of texts are indexed and nothing else.
    """

    name: str
    weight: float
    b: float

    @property
    def prefix(self) -> str:
        """What its terms begin with in the dictionary."""
        return f"{self.name}\0" if self.name else ""

    def texts(self, chunk: Chunk) -> Sequence[str]:
        """What is indexed of a chunk."""
        if not self.name:
            return (chunk.input,)
        if self.name == "text":
            return (chunk.text,)
        if self.name == "context":
            return (chunk.context,)
        value = chunk.metadata.get(self.name.removeprefix(METADATA))
        given = value if isinstance(value, list | tuple) else (value,)
        return [text for text in given if isinstance(text, str)]


def fields_of(weights: dict[str, float] | None, b: float | dict[str, float], default_b: float) -> tuple[Field, ...]:
    """The fields of a configuration, by name. Raises ValueError where it makes no sense."""
    if weights is None:
        if isinstance(b, dict):
            raise ValueError("b must be one number where there are no fields, got a table: name the fields, or one b")
        return (Field("", 1.0, _checked_b("b", b)),)
    written, named = _by_field("fields", weights)
    if not any(weight > 0 for weight in named.values()):
        raise ValueError(f"fields must give at least one of them a weight above 0, got {weights}")
    for name, weight in named.items():
        if name not in ("context", "text") and not (name.startswith(METADATA) and len(name) > len(METADATA)):
            raise ValueError(f"fields has {name!r}, expected text, title (the chunk's context) or metadata.KEY")
        if not 0 <= weight < float("inf"):
            raise ValueError(f"fields.{written[name]} must be a number from 0, got {weight}")
    if not isinstance(b, dict):
        return tuple(Field(name, named[name], _checked_b("b", b)) for name in sorted(named))
    written, own = _by_field("b", b)
    if unknown := own.keys() - named.keys():
        raise ValueError(
            f"b names {', '.join(sorted(written[name] for name in unknown))}, which is no field: fields has "
            f"{', '.join(sorted(weights))}"
        )
    checked = {name: _checked_b(f"b.{written[name]}", value) for name, value in own.items()}
    return tuple(Field(name, named[name], checked.get(name, default_b)) for name in sorted(named))


def _by_field(setting: str, given: dict[str, float]) -> tuple[dict[str, str], dict[str, float]]:
    """The names of the fields as they were written, and the numbers that were given for them."""
    written = {"context" if name == "title" else name: name for name in given}
    if len(written) < len(given):
        raise ValueError(f"{setting} has context and title, which are the same: name one of them")
    return written, {field: given[name] for field, name in written.items()}


def _checked_b(name: str, b: float) -> float:
    if not 0 <= b <= 1:
        raise ValueError(f"{name} must be in [0, 1], got {b}")
    return b
