"""Tables of the results page: rows of variants beside a baseline, over several collections."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from measures import Comparison, Floats, Sample, compare, holm

Values = Mapping[str, Mapping[str, Floats]]
"""{variant: {collection: a value for each question}}; a variant may lack a collection."""


@dataclass(frozen=True, slots=True)
class Against:
    """A variant beside the baseline, on the collections that both were measured on; `p` is raised for the family."""

    comparison: Comparison
    p: float

    @property
    def verdict(self) -> str:
        """What an engineer may conclude."""
        if self.p >= 0.05:
            return "no difference shown"
        return "better" if self.comparison.difference > 0 else "worse"


def against(values: Values, groups: Mapping[str, Sequence[str]], baseline: str) -> dict[str, Against]:
    """Every other variant beside the baseline; p-values hold for all of them together (Holm)."""
    others = [name for name in values if name != baseline]
    compared = []
    for name in others:
        both = [one for one in values[name] if one in values[baseline]]
        compared.append(compare([Sample(values[name][one] - values[baseline][one], groups[one]) for one in both]))
    raised = holm([one.p for one in compared])
    return {name: Against(one, p) for name, one, p in zip(others, compared, raised, strict=True)}


def beside(
    values: Values, groups: Mapping[str, Sequence[str]], baseline: str, *, head: str, collections: Sequence[str]
) -> str:
    """A table with the mean of each variant on each collection, and its difference to the baseline."""
    told = against(values, groups, baseline)
    lines = [[head, *collections, "difference", "95 % interval", "detectable", "p", ""]]
    for name, of_one in values.items():
        means = [figure(float(of_one[one].mean())) if one in of_one else "" for one in collections]
        if name == baseline:
            lines.append([f"**{name}**", *means, "", "", "", "", "baseline"])
            continue
        one = told[name].comparison
        bounds = f"{signed(one.low)} to {signed(one.high)}"
        shown = [signed(one.difference), bounds, figure(one.detectable), probability(told[name].p)]
        lines.append([name, *means, *shown, told[name].verdict])
    return table(lines)


def table(lines: Sequence[Sequence[str]]) -> str:
    """Markdown: the first line is the head; columns of figures are aligned to the right."""
    head, *rows = lines
    right = [all(re.match(r"^[-+<]?[.\d]|^$", row[at]) for row in rows) for at in range(len(head))]
    rule = ["--:" if one else "---" for one in right]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def figure(value: float) -> str:
    """
    >>> figure(0.67891), figure(1.0), figure(-0.5)
    ('.6789', '1.0000', '-.5000')
    """
    return f"{value:.4f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.4f}"


def signed(value: float) -> str:
    """
    >>> signed(0.0123), signed(-0.00004)
    ('+.0123', '+.0000')
    """
    return f"{round(value, 4) + 0.0:+.4f}".replace("0.", ".", 1)


def probability(p: float) -> str:
    return "<.001" if p < 0.001 else f"{p:.3f}".replace("0.", ".", 1)


def replace_block(page: Path, name: str, content: str) -> None:
    """Put the content between the two lines of the page that name the block. Raises ValueError where it has none."""
    text = page.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- results: {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{page} has no block <!-- results: {name} --> ... <!-- end -->")
    page.write_text(pattern.sub(lambda found: f"{found[1]}{content}\n{found[2]}", text, count=1), encoding="utf-8")
