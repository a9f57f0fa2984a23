"""A call of a component as middleware sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hookrag.values import Step


@dataclass(frozen=True, slots=True)
class Call:
    """One operation of one component on a batch: `items` is the batch, `options` the keyword arguments.

    Middleware changes a call by `dataclasses.replace`; the step and the operation stay as they are.
    """

    step: Step
    operation: str
    items: Sequence[Any]
    options: Mapping[str, Any]


Proceed = Callable[[Call], Any]
