"""Writes the tables of options in the documentation from the constructors: `python tests/option_tables.py`, or `make tables`.

A table stands between two marks, the first of which names the component, or several that have the same options:

    <!-- options: chunker words -->
    <!-- end of options -->
"""

from __future__ import annotations

import re
from pathlib import Path

from hookrag.config.catalogue import Catalogue
from hookrag.config.describe import Option, options_of
from hookrag.config.tables import IndexTable, PipelineTable

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted((ROOT / "plugins").glob("*/README.md")), ROOT / "docs/configuration.md"]
TABLES = {"pipelines": PipelineTable, "index": IndexTable}
_REFERENCE = re.compile(r"\[\w+\.\*\]")
_MARKED = re.compile(r"(<!-- options: ([^>]+) -->\n).*?(<!-- end of options -->)", re.DOTALL)


def named(words: str) -> list[str]:
    """The components that a mark names, "kind name"; the core's own tables by themselves."""
    kind, *names = words.split()
    return [f"{kind} {name}" for name in names] or [kind]


def options(component: str) -> list[Option]:
    kind, _, name = component.partition(" ")
    return options_of(TABLES[kind] if kind in TABLES else Catalogue.installed().find(kind, name).load(), kind)


def table(words: str) -> str:
    first, *others = named(words)
    rows = options(first)
    assert all(options(other) == rows for other in others), f"{words} have different options: give each a table"
    written = ["| option | is | default | |", "|---|---|---|---|"]
    for row in rows:
        default = row.default if row.value is None else f"`{row.default}`"
        kind = _REFERENCE.sub(r"`\g<0>`", row.kind)  # its asterisk is no mark of Markdown
        written.append(f"| `{row.name}` | {_cell(kind)} | {_cell(default)} | {_cell(row.description)} |")
    return "\n".join(written) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").strip()


def renewed(text: str) -> str:
    """A page with its tables as the constructors are now."""
    return _MARKED.sub(lambda found: f"{found[1]}\n{table(found[2])}\n{found[3]}", text)


def marked(text: str) -> set[str]:
    """The components whose tables a page has."""
    return {one for found in _MARKED.finditer(text) for one in named(found[2])}


if __name__ == "__main__":
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = renewed(before)
        if after != before:
            page.write_text(after, encoding="utf-8")
            print(f"{page.relative_to(ROOT)} is written anew")
