"""What the comparisons share: sides in processes of their own, asked in turns, and tables of figures and ratios."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from options import Options

THREADS = 2


class Side:
    """One side of a comparison, in a process of its own that waits while the other is asked."""

    def __init__(self, program: str, name: str, options: Options, *, threads: int = THREADS) -> None:
        told = {name: str(value) if isinstance(value, Path) else value for name, value in _fields(options).items()}
        told["folder"] = str(options.folder / f"{Path(program).stem}-{name}".replace(" ", "-"))
        Path(told["folder"]).mkdir(parents=True)
        self.name = name
        self._log = Path(told["folder"]) / "log"
        with self._log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [sys.executable, program, "--side", name, json.dumps(told)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(threads),
            )
        self.ask("__init__")  # one side sets up after the other, before anything is measured

    def ask(self, step: str, **arguments: Any) -> Any:
        """What the method `step` of the side gives. Raises RuntimeError where it fails."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"step": step, "arguments": arguments}) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise RuntimeError(f"{self.name} ended in {step}:\n{self._log.read_text(encoding='utf-8')}")
        return json.loads(answer)

    def asking(self, step: str, **arguments: Any) -> Callable[[], float]:
        """A call that asks for a figure."""
        return lambda: float(self.ask(step, **arguments))

    def peak(self) -> float:
        """The most memory that its process has had, in MB."""
        return float(self.ask("peak"))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _fields(options: Options) -> dict[str, Any]:
    return {name: getattr(options, name) for name in Options.__slots__}


def environment(threads: int) -> dict[str, str]:
    """The environment of a side: so many threads for every library, and nothing fetched or sent."""
    counted = {f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "MKL", "OPENBLAS", "RAYON", "NUMBA")}
    quiet = {
        "HF_HUB_OFFLINE": "1",
        "HAYSTACK_TELEMETRY_ENABLED": "False",
        "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false",
        "TRANSFORMERS_VERBOSITY": "error",
        "PYTHONWARNINGS": "ignore",
    }
    return {**os.environ, **counted, **quiet}


def serve(sides: Mapping[str, Callable[[Options], Any]]) -> None:
    """Be the side that the command line names: do what each line of the standard input asks, until there is no more."""
    name, told = sys.argv[2], json.loads(sys.argv[3])
    options = Options(**{**told, "folder": Path(told["folder"]), "collection": Path(told["collection"])})
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    side: Any = None
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["step"] == "__init__":
            side, answer = sides[name](options), None
        elif asked["step"] == "peak":
            answer = peak()
        else:
            answer = getattr(side, asked["step"])(**asked["arguments"])
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def peak() -> float:
    """The most memory that this process has had, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # rusage tells the memory of the process that started this one, if it had more
        return int(status.read_text(encoding="utf-8").partition("VmHWM:")[2].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def seconds(call: Callable[[], object]) -> float:
    """How long it takes."""
    start = perf_counter()
    call()
    return perf_counter() - start


def batches(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Slices of that size, the last one shorter.

    >>> batches([1, 2, 3], 2)
    [[1, 2], [3]]
    """
    return [items[start : start + size] for start in range(0, len(items), size)]


def alternated(rounds: int, calls: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """A figure of each side for each round, the sides asked in turns: A B A B ..."""
    figures: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            figures[name].append(call())
    return figures


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was measured: a figure of each side for each round. The first side is ours.

    `more` says that more is better (documents a second); otherwise less is (seconds, MB).
    """

    what: str
    unit: str
    figures: Mapping[str, Sequence[float]]
    more: bool = False

    def ratios(self, other: str) -> list[float]:
        """How many times better we are than that side, round by round: over 1 is in our favour, whatever the unit.

        >>> Line("ask", "s", {"ours": [1.0, 2.0], "theirs": [3.0, 3.0]}).ratios("theirs")
        [3.0, 1.5]
        """
        ours, theirs = next(iter(self.figures.values())), self.figures[other]
        return [a / b if self.more else b / a for a, b in zip(ours, theirs, strict=True)]


@dataclass(frozen=True, slots=True)
class Table:
    """Lines under a title, with what has to be known to read them."""

    title: str
    notes: Sequence[str] = ()
    lines: list[Line] = field(default_factory=list)

    def markdown(self) -> str:
        """A row for each line and each other side; of the figures the median, of the ratios the median and the extremes."""
        rows = [("measured", "unit", "hookrag", "beside", "theirs", "ratio", "from - to")]
        for line in self.lines:
            ours, *others = line.figures
            own = number(statistics.median(line.figures[ours]))
            if not others:
                rows.append((line.what, line.unit, own, "", "", "", ""))
            for other in others:
                ratios = line.ratios(other)
                spread = f"{min(ratios):.2f} - {max(ratios):.2f}" if len(ratios) > 1 else ""
                theirs = number(statistics.median(line.figures[other]))
                rows.append((line.what, line.unit, own, other, theirs, f"{statistics.median(ratios):.2f}", spread))
        text = [*self.notes, ""] if self.notes else []
        return "\n".join([f"### {self.title}", "", *text, aligned(rows)])


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns are as wide as their widest cell; the first row is the head."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    head, *lines = [f"| {' | '.join(cells)} |" for cells in padded]
    return "\n".join([head, f"|{'|'.join('-' * (width + 2) for width in widths)}|", *lines])


def number(value: float) -> str:
    """Three digits that count.

    >>> [number(value) for value in (12345.6, 123.4, 12.34, 1.234, 0.01234)]
    ['12,346', '123', '12.3', '1.23', '0.0123']
    """
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2
    return f"{value:,.{digits}f}" if size >= 1 else f"{value:.3g}"


Measure = Callable[[Options], list[Table]]
