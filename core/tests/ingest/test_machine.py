"""Random histories of an index lose nothing and leave nothing behind, and they find every mutant that would.

`make test` takes 60 histories and the mutants that are found at once; `make soak` asks for thousands, and for every mutant.
"""

from __future__ import annotations

import sqlite3
import time

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from .machine import HISTORIES, Histories, Quick, World
from .mutants import DIRECTED, MUTANTS

BOUND = 1000
"""Histories in which a mutant has to be found; the slowest needs 390. Those that need more have a history of their own."""

QUICK = (
    "all old rows are owed, not only those that the new version lacks",
    "no plan is written ahead",
    "T2 owes nothing of the old version",
    "rows are confirmed before they are synced",
)

RANDOM = [name for name in MUTANTS if not any(name in names for names in DIRECTED.values())]


@pytest.fixture
def quick_commits(monkeypatch):
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, factory=Quick, **k))


def histories(count, machine=Histories, **options):
    chosen = settings(
        max_examples=count, stateful_step_count=12, deadline=None, database=None, print_blob=False,
        suppress_health_check=list(HealthCheck), **options,
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=chosen)


@pytest.mark.timeout(0)
def test_whatever_happens_nothing_is_lost_and_nothing_left(quick_commits):
    histories(HISTORIES or 60, derandomize=not HISTORIES)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", RANDOM if HISTORIES else QUICK)
def test_a_mutant_is_found(quick_commits, monkeypatch, name, record_property):
    count = 0

    class Counting(Histories):
        def __init__(self):
            nonlocal count
            count += 1
            super().__init__()

    MUTANTS[name](monkeypatch)
    with pytest.raises(Exception) as found:  # the first to notice may be an invariant or the database
        histories(BOUND, Counting, derandomize=True, phases=[Phase.generate])
    record_property("histories", count)
    print(f"{name}: {count} histories: {str(found.value).splitlines()[0]}")


@pytest.mark.parametrize("fenced", [True, False], ids=["fenced", "not fenced"])
@pytest.mark.parametrize("history", DIRECTED, ids=lambda history: history.__name__)
def test_what_random_histories_meet_rarely(quick_commits, monkeypatch, tmp_path, history, fenced):
    world = World(tmp_path, fenced=fenced)
    world.cuts = world.cuts if HISTORIES else world.cuts[::8]
    monkeypatch.setattr(time, "sleep", lambda seconds: world.settles())
    history(world)


@pytest.mark.parametrize(
    ("history", "name"), [(history, name) for history, names in DIRECTED.items() for name in names]
)
def test_that_history_finds_the_mutant(quick_commits, monkeypatch, tmp_path, history, name):
    MUTANTS[name](monkeypatch)
    with pytest.raises(AssertionError):
        history(World(tmp_path, fenced=True))
