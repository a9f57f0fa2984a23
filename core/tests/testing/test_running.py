"""The kit runs with pytest and without, and takes expected failures at their word."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
from hookrag.filters import matches
from hookrag.testing import Result, checks, parametrize_checks, raise_for_failures, run_checks
from hookrag.testing.fakes import ListRetriever, MemoryStore, WordChunker
from hookrag.testing.samples import EDGE_FILTERS, FILTERS, documents, filters

KINDS = (
    "chunker",
    "embedder",
    "store",
    "retriever",
    "fuser",
    "reranker",
    "llm",
    "generator",
    "middleware",
    "reader",
)


class Shouting(WordChunker):
    """Its chunks are no spans."""

    def chunk(self, documents):
        from dataclasses import replace

        return [[replace(one, text=one.text.upper()) for one in chunks] for chunks in super().chunk(documents)]


def retriever():
    return ListRetriever(texts=["one", "two"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_check_says_what_it_promises_in_one_sentence(kind):
    names = [check.__name__ for check in checks(kind)]
    assert len(set(names)) == len(names) > 10
    for check in checks(kind):
        assert check.__name__.startswith("check_")
        assert check.__doc__, check.__name__
        assert check.__doc__.endswith("."), check.__name__
        assert "\n" not in check.__doc__, check.__name__
        assert list(inspect.signature(check).parameters) == ["make"] or hasattr(check, "__wrapped__")


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError) as caught:
        checks("retrievers")
    assert str(caught.value) == (
        "there is no kind 'retrievers'; the kinds are chunker, embedder, store, retriever, fuser, reranker, llm, "
        "generator, middleware, reader"
    )


def test_results_come_in_the_order_of_the_checks():
    results = run_checks("retriever", retriever)
    assert [result.check for result in results] == [check.__name__ for check in checks("retriever")]
    assert {result.outcome for result in results} == {"passed"}
    raise_for_failures(results)


def test_a_check_without_an_object_says_why():
    results = {result.check: result for result in run_checks("chunker", WordChunker)}
    assert results["check_parents_hold_their_children"] == Result(
        "check_parents_hold_their_children", "passed", "no chunk comes with its parent"
    )


def test_a_failure_is_raised_with_its_message():
    results = run_checks("chunker", lambda: Shouting(size=3))
    with pytest.raises(AssertionError) as caught:
        raise_for_failures(results)
    first, *lines = str(caught.value).splitlines()
    failed = sum(result.outcome == "failed" for result in results)
    assert first == f"{failed} of {len(results)} checks failed"
    assert len(lines) == failed
    assert (
        "  check_chunks_are_exact_spans: ContractError: [chunkers.shouting] (use = 'shouting') returned a chunk of document "
        "'fusion' whose text is not its span 0:22: a chunk is an exact span of its document; use chunk_of()" in lines
    )


def test_an_expected_failure_is_told_with_its_reason():
    def store(folder):
        return MemoryStore(chunker=WordChunker())

    reason = "in memory"
    results = run_checks("store", store, expected_failures={"check_rows_survive_reopening": reason})
    assert Result("check_rows_survive_reopening", "expected", reason) in results


def test_an_expected_failure_that_passes_has_failed():
    results = run_checks("retriever", retriever, expected_failures={"check_where_is_obeyed": "no filters"})
    assert [result for result in results if result.outcome == "failed"] == [
        Result(
            "check_where_is_obeyed",
            "failed",
            "passes, though it is expected to fail (no filters): take it out of expected_failures",
        )
    ]


def test_an_expected_failure_of_no_check_has_failed():
    results = run_checks("retriever", retriever, expected_failures={"check_where_is_obeyd": "typing", "zzz": "?"})
    wrong = [str(result) for result in results if result.outcome == "failed"]
    assert wrong == [
        "failed check_where_is_obeyd: is expected to fail, but no check of a retriever has this name: "
        "did you mean check_where_is_obeyed?",
        "failed zzz: is expected to fail, but no check of a retriever has this name: take it out of expected_failures",
    ]


def test_an_expected_failure_without_a_reason_has_failed():
    results = run_checks("retriever", retriever, expected_failures={"check_where_is_obeyed": " "})
    assert [str(result) for result in results if result.outcome == "failed"] == [
        "failed check_where_is_obeyed: is expected to fail without a reason: write why, for your users to read"
    ]
    assert len(results) == len(checks("retriever"))


def test_pytest_refuses_wrong_expectations_when_it_collects():
    with pytest.raises(ValueError) as caught:
        parametrize_checks("retriever", retriever, expected_failures={"check_where_is_obeyed": "", "zzz": "?"})
    assert str(caught.value) == (
        "check_where_is_obeyed is expected to fail without a reason: write why, for your users to read; "
        "zzz is expected to fail, but no check of a retriever has this name: take it out of expected_failures"
    )


def test_pytest_needs_something_to_make():
    with pytest.raises(ValueError) as caught:
        parametrize_checks("retriever")
    assert str(caught.value) == "parametrize_checks('retriever') needs at least one function that makes a retriever"


THIRD_PARTY = """
from hookrag.testing import parametrize_checks
from hookrag.testing.fakes import WordChunker

@parametrize_checks("chunker", WordChunker, lambda: WordChunker(size=3){expected})
def test_conformance(check, make):
    check(make)
"""


def pytest_says(folder, expected: str) -> str:
    (folder / "test_acme.py").write_text(THIRD_PARTY.format(expected=expected))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), "test_acme.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout


def test_a_third_party_runs_the_checks_with_pytest(tmp_path):
    assert f"{2 * len(checks('chunker'))} passed" in pytest_says(tmp_path, "")


def test_an_expected_failure_that_passes_fails_in_pytest(tmp_path):
    said = pytest_says(tmp_path, ', expected_failures={"check_ids_are_hashes": "other names"}')
    assert "[XPASS(strict)] other names" in said
    assert f"2 failed, {2 * len(checks('chunker')) - 2} passed" in said


def test_the_kit_runs_without_pytest():
    program = (
        "import sys; sys.modules['pytest'] = None\n"
        "from hookrag.testing import run_checks, raise_for_failures\n"
        "from hookrag.testing.fakes import RankFuser\n"
        "results = run_checks('fuser', RankFuser); raise_for_failures(results); print(len(results))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, str(len(checks("fuser")))), done.stderr


@pytest.mark.parametrize("text", FILTERS)
def test_the_filters_of_the_kit_tell_documents_apart(text):
    (pair,) = filters([text])
    matching = sum(matches(pair[1], document.metadata) for document in documents())
    if "nowhere" in text:
        assert matching in (0, len(documents()))
    else:
        assert 0 < matching < len(documents())


def test_the_odd_filters_of_the_kit_parse():
    assert len(filters(EDGE_FILTERS)) == len(EDGE_FILTERS)
