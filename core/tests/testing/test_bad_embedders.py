"""Embedders that break one promise each."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hookrag import Identity, SparseRows
from hookrag.testing import checks, run_checks
from hookrag.testing.fakes import HashEmbedder


class Own(HashEmbedder):
    """`HashEmbedder`, changed."""

    def __init__(self) -> None:
        super().__init__()


class GivesMore(Own):
    def __init__(self) -> None:
        super().__init__()
        self.outputs = frozenset({"dense"})


class SaysNothing(Own):
    def __init__(self) -> None:
        super().__init__()
        self.outputs = frozenset()


class CentresItsBatch(Own):
    def embed(self, texts, *, role, outputs):
        made = super().embed(texts, role=role, outputs=outputs)
        if made.dense is None or len(texts) < 3:
            return made
        return replace(made, dense=made.dense - made.dense.mean(axis=0) / 10)


class CountsRepeats(Own):
    def embed(self, texts, *, role, outputs):
        made = super().embed(texts, role=role, outputs=outputs)
        if made.dense is not None:
            for row, text in enumerate(texts):
                if text in texts[:row]:
                    made.dense[row, 0] += 0.5
        return made


class IgnoresTheRole(Own):
    def identity(self):
        return replace(super().identity(), query={"prompt": "query: "})


class HidesItsPrompt(Own):
    def embed(self, texts, *, role, outputs):
        return super().embed([f"{role}: {text}" for text in texts], role=role, outputs=outputs)


class ChangesItsName(Own):
    names = itertools.count()

    def identity(self):
        told = {"weights": "hash", "run": next(self.names)}
        return Identity(told, told)


class NestsItsName(Own):
    def identity(self):
        told = {"weights": {"hash": 1}}
        return Identity(told, told)


class AlwaysTheSame(Own):
    def embed(self, texts, *, role, outputs):
        return super().embed(["same"] * len(texts), role=role, outputs=outputs)


class GrowsWider(Own):
    def embed(self, texts, *, role, outputs):
        made = super().embed(texts, role=role, outputs=outputs)
        if made.dense is not None and not any(texts):
            return replace(made, dense=np.ascontiguousarray(made.dense[:, :32]))
        return made


class UnsortedRows(Own):
    def embed(self, texts, *, role, outputs):
        made = super().embed(texts, role=role, outputs=outputs)
        if made.sparse is None:
            return made
        sparse = made.sparse
        order = np.concatenate([np.arange(b - 1, a - 1, -1) for a, b in itertools.pairwise(sparse.indptr)] or [[]])
        order = order.astype(np.int64)
        return replace(
            made, sparse=SparseRows(sparse.indptr, sparse.indices[order], sparse.values[order], sparse.width)
        )


class CannotReadMuch(Own):
    def embed(self, texts, *, role, outputs):
        if any(len(text) > 50_000 for text in texts):
            raise ValueError("too long")
        return super().embed(texts, role=role, outputs=outputs)


class NeedsText(Own):
    def embed(self, texts, *, role, outputs):
        if "\n" in texts:
            raise ValueError("nothing to embed")
        return super().embed(texts, role=role, outputs=outputs)


class StartsAtRandom(Own):
    starts = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.start = next(self.starts)

    def embed(self, texts, *, role, outputs):
        made = super().embed(texts, role=role, outputs=outputs)
        if made.dense is not None:
            made.dense[:, self.start % 64] += 0.3
        return made


class CountsTokensWrong(Own):
    def room(self, role):
        return 128

    def tokens(self, texts):
        return [[(0, len(text) + 1)] for text in texts]


class HasNoLimit(Own):
    def tokens(self, texts):
        return [[(0, len(text))] for text in texts]


BAD = [
    (GivesMore, ["check_refuses_other_outputs"], 'add "sparse" to outputs, or raise HookragError'),
    (CentresItsBatch, ["check_batch_size_does_not_matter"], "another dense vector alone than in a batch"),
    (CountsRepeats, ["check_duplicates_are_equal"], "another dense vector the second time"),
    (IgnoresTheRole, ["check_role_is_honoured"], 'role == "query" needs the query\'s prompt'),
    (HidesItsPrompt, ["check_role_is_honoured"], "identity() must name what a query gets besides (a prompt)"),
    (ChangesItsName, ["check_identity_is_stable"], "has another identity after it was opened again"),
    (NestsItsName, ["check_identity_is_flat_json"], "a flat object of text, numbers, true, false and null"),
    (AlwaysTheSame, ["check_different_texts_differ"], "gives two different texts the same dense vector"),
    (
        GrowsWider,
        ["check_width_is_constant", "check_batch_size_does_not_matter"],
        "gives dense vectors of the widths [32, 64]",
    ),
    (UnsortedRows, ["check_sparse_rows_are_sorted"], "sort them, each once, below the width"),
    (CannotReadMuch, ["check_long_text_has_a_vector"], "ValueError: too long"),
    (NeedsText, ["check_empty_text_has_a_vector"], "ValueError: nothing to embed"),
    (
        StartsAtRandom,
        ["check_equal_identity_means_equal_vectors", "check_two_instances_agree"],
        "another dense vector when it is made again",
    ),
    (CountsTokensWrong, ["check_tokens_are_spans"], "(start, end) in characters of the text, in order, uncut"),
    (HasNoLimit, ["check_tokens_are_spans"], 'has tokens() and no room("query") above 0: add the method room(role)'),
]


@pytest.mark.parametrize(("cls", "names", "text"), BAD, ids=lambda value: getattr(value, "__name__", ""))
def test_a_bad_embedder_fails_the_check_it_should(fails, cls, names, text):
    fails("embedder", cls, names, text)


def test_an_embedder_without_outputs_is_told_what_to_write():
    results = {result.check: result for result in run_checks("embedder", SaysNothing)}
    assert results["check_outputs_are_known_unopened"].message == (
        'SaysNothing says outputs = [] before it is opened: set self.outputs = frozenset({"dense"}) (or "sparse", "multi") '
        "in __init__"
    )


def test_a_tokenizing_embedder_passes():
    class Tokenizing(Own):
        def room(self, role):
            return 128

        def tokens(self, texts):
            import re

            return [[match.span() for match in re.finditer(r"\w+", text)] for text in texts]

    results = run_checks("embedder", Tokenizing)
    assert {(result.outcome, result.message) for result in results} == {
        ("passed", ""),
        ("passed", "it gives all outputs"),
    }
    assert len(results) == len(checks("embedder"))
