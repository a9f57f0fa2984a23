"""For tests: HOOKRAG_FAULT=n kills the process at the n-th point where an ingest could be cut off."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable

from hookrag.errors import ConfigError

VARIABLE = "HOOKRAG_FAULT"


def from_environment() -> Callable[[str], None]:
    """What an `Ingest` takes as `fault`: SIGKILL at the n-th call, at a transaction or a store's operation.

    Counts from 1 for each ingest; does nothing where the variable is not set. Raises ConfigError where it is no number.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return lambda point: None
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError([f"{VARIABLE} must be a whole number of at least 1, got {text!r}: unset it outside of tests"])
    last, points = int(text), itertools.count(1)

    def fault(point: str) -> None:
        if next(points) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    return fault
