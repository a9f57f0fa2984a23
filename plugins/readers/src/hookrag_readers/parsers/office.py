"""What Word, PowerPoint and Excel files have in common: relations between parts, and properties (ECMA-376, part 2)."""

from __future__ import annotations

from dataclasses import dataclass

from hookrag_readers.parsers.archive import Archive, joined
from hookrag_readers.parsers.sink import RefusedError, Value, iso_date, one_line
from hookrag_readers.parsers.xml import elements


@dataclass(frozen=True, slots=True)
class Relation:
    """`kind` is the last word of its type ("slide"), `target` the name of a member."""

    kind: str
    target: str


def relations(archive: Archive, part: str) -> dict[str, Relation]:
    """The parts that a part refers to, by the ids it calls them; without those that lie outside the file."""
    folder, _, name = part.rpartition("/")
    where = f"{folder}/_rels/{name}.rels" if folder else f"_rels/{name}.rels"
    if where not in archive:
        return {}
    return {
        told["Id"]: Relation(told.get("Type", "").rpartition("/")[2], joined(part, told.get("Target", "")))
        for tag, told, _ in elements(archive.blocks(where), where)
        if tag == "Relationship" and "Id" in told and told.get("TargetMode") != "External"
    }


def one(found: dict[str, Relation], kind: str) -> str:
    """The part of a kind, "" where there is none."""
    return next((relation.target for relation in found.values() if relation.kind == kind), "")


def main_part(archive: Archive, needed: str) -> str:
    """The part that everything begins with; `needed` is the folder where it lies in files of the right kind ("word")."""
    part = one(relations(archive, ""), "officeDocument")
    if not part or part not in archive:
        raise RefusedError(
            f"is something else: expected {archive.kind}, got an archive without a document of Office inside"
        )
    if not part.startswith(f"{needed}/") and (part.split("/")[0] in ("word", "ppt", "xl")):
        raise RefusedError(
            f"is something else: expected {archive.kind}, got the part {part}: correct the suffix of its name"
        )
    return part


def properties(archive: Archive) -> tuple[str, dict[str, Value]]:
    """The title that the properties of the file tell, and author, created and lang where they are told."""
    part = one(relations(archive, ""), "core-properties")
    if not part or part not in archive:
        return "", {}
    told = {tag: text.strip() for tag, _, text in elements(archive.blocks(part), part) if text.strip()}
    found = {
        "author": told.get("creator", ""),
        "created": iso_date(told.get("created", "")),
        "lang": told.get("language", ""),
    }
    return told.get("title", ""), {name: one_line(value) for name, value in found.items() if value}
