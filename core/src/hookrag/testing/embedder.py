"""What an embedder promises: the outputs it says, vectors that depend on the text and the role alone, and who it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hookrag.components.vectors import take
from hookrag.testing._kit import Check, Make, difference, fresh, opened, refusal, require, temporary_folder
from hookrag.testing._tokens import tokens_check
from hookrag.testing.general import Trial, general_checks
from hookrag.testing.samples import documents
from hookrag.values import Output, SparseRows, Vectors

ALL: tuple[Output, ...] = ("dense", "sparse", "multi")
COSINE = 1e-5
"""How far from 1 the cosine of two vectors of one text may be: fp32 on other hardware or in another batch."""

TEXTS: tuple[str, ...] = (
    *(document.text for document in documents()),
    "",
    " ",
    "a",
    "two words",
    "before\x00after",
    "word " * 40,
)


def _outputs(embedder: Any) -> tuple[Output, ...]:
    return tuple(output for output in ALL if output in embedder.outputs)


def _all(embedder: Any, texts: Sequence[str], role: str = "document") -> Vectors:
    made: Vectors = embedder.embed(texts, role=role, outputs=_outputs(embedder))
    return made


def flat(vectors: Vectors, row: int) -> NDArray[np.float32]:
    """All numbers that one text got, as one vector; sparse ones in full width."""
    parts = []
    if vectors.dense is not None:
        parts.append(vectors.dense[row])
    if vectors.sparse is not None:
        parts.append(full(vectors.sparse, row))
    if vectors.multi is not None:
        parts.append(vectors.multi[row].ravel())
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def full(rows: SparseRows, row: int) -> NDArray[np.float32]:
    """A sparse row as float32[width]."""
    span = slice(int(rows.indptr[row]), int(rows.indptr[row + 1]))
    made = np.zeros(rows.width, np.float32)
    made[rows.indices[span]] = rows.values[span]
    return made


def apart(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """1 - cosine; 0 for two vectors without numbers or of zeros, 2 for vectors of different length."""
    if first.shape != second.shape:
        return 2.0
    one, other = first.astype(np.float64), second.astype(np.float64)
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    if not lengths:
        return 0.0 if np.array_equal(one, other) else 2.0
    return float(1.0 - one @ other / lengths)


def _require_near(embedder: Any, texts: Sequence[str], one: Vectors, other: Vectors, when: str, todo: str) -> None:
    for output in _outputs(embedder):
        for row, text in enumerate(texts):
            first = flat(Vectors(**{output: getattr(one, output)}), row)
            second = flat(Vectors(**{output: getattr(other, output)}), row)
            distance = apart(first, second)
            require(
                distance <= COSINE,
                embedder,
                f"gives {text[:30]!r} another {output} vector {when} (1 - cosine = {distance:.2g}, allowed {COSINE:g})",
                todo,
            )


def check_outputs_are_known_unopened(make: Make) -> str | None:
    """`outputs` names at least one of "dense", "sparse" and "multi" before the embedder is opened."""
    with temporary_folder() as folder:
        component = fresh("embedder", make, folder)
    outputs = set(component.outputs)
    require(
        bool(outputs) and outputs <= set(ALL),
        component,
        f"says outputs = {sorted(map(str, outputs))} before it is opened",
        'set self.outputs = frozenset({"dense"}) (or "sparse", "multi") in __init__',
    )
    return None


def check_gives_exactly_the_outputs_asked(make: Make) -> str | None:
    """Of its outputs it gives those asked for and no others, alone and together."""
    with opened("embedder", make) as embedder:
        own = _outputs(embedder)
        for size in range(1, len(own) + 1):
            for asked in combinations(own, size):
                embedder.embed(["one", "two"], role="document", outputs=set(asked))
    return None


def check_refuses_other_outputs(make: Make) -> str | None:
    """Asked for an output that it does not name, it raises an error of hookrag."""
    with opened("embedder", make) as embedder:
        foreign = [output for output in ALL if output not in embedder.outputs]
        for output in foreign:
            error = refusal(lambda asked=output: embedder.embed(["one"], role="document", outputs={asked}))  # type: ignore[misc]  # the default binds the loop's value
            require(
                error is not None,
                embedder,
                f"gives {output} vectors, which its outputs do not name",
                f'add "{output}" to outputs, or raise HookragError',
            )
    return None if foreign else "it gives all outputs"


def check_width_is_constant(make: Make) -> str | None:
    """Dense and token vectors have one width and sparse rows one vocabulary, whatever the text and role."""
    with opened("embedder", make) as embedder:
        widths: dict[str, set[int]] = {output: set() for output in ALL}
        for role in ("document", "query"):
            for some in (TEXTS[:3], TEXTS[12:], ("",)):
                made = _all(embedder, some, role)
                if made.dense is not None:
                    widths["dense"].add(made.dense.shape[1])
                if made.sparse is not None:
                    widths["sparse"].add(made.sparse.width)
                widths["multi"].update(matrix.shape[1] for matrix in made.multi or ())
        for output, found in widths.items():
            require(
                len(found) < 2 and 0 not in found,
                embedder,
                f"gives {output} vectors of the widths {sorted(found)}",
                "every vector has the same width, also that of an empty text (float32[0, width] for tokens)",
            )
    return None


def check_sparse_rows_are_sorted(make: Make) -> str | None:
    """Sparse rows have ascending, unrepeated indices below the width and an indptr that fits them."""
    with opened("embedder", make) as embedder:
        if "sparse" not in embedder.outputs:
            return "it gives no sparse vectors"
        sparse = embedder.embed(TEXTS, role="document", outputs={"sparse"}).sparse
        require(
            sparse.indptr.dtype == np.int64 and sparse.indices.dtype == np.int32,
            embedder,
            f"gives sparse rows with indptr {sparse.indptr.dtype} and indices {sparse.indices.dtype}",
            "indptr is int64[n + 1], indices int32[nonzero]",
        )
        fits = sparse.indptr[0] == 0 and sparse.indptr[-1] == len(sparse.indices) == len(sparse.values)
        require(bool(fits), embedder, "gives an indptr that does not fit", "indptr[0] = 0, indptr[-1] = len(values)")
        for row in range(len(sparse)):
            own = sparse.indices[sparse.indptr[row] : sparse.indptr[row + 1]]
            good = not len(own) or (own[0] >= 0 and own[-1] < sparse.width and bool((np.diff(own) > 0).all()))
            require(
                good,
                embedder,
                f"gives the sparse row {row} the indices {own[:8].tolist()}",
                "sort them, each once, below the width",
            )
    return None


def check_batch_size_does_not_matter(make: Make) -> str | None:
    """A text has the same vectors alone and in any batch, within 1e-5 of cosine."""
    with opened("embedder", make) as embedder:
        together = _all(embedder, TEXTS)
        backwards = take(_all(embedder, TEXTS[::-1]), range(len(TEXTS))[::-1])
        todo = "mask the padding; run dynamically quantised models one by one"
        _require_near(embedder, TEXTS, together, backwards, "in a batch in reverse", todo)
        for row, text in enumerate(TEXTS):
            _require_near(
                embedder, [text], _all(embedder, [text]), take(together, [row]), "alone than in a batch", todo
            )
    return None


def check_duplicates_are_equal(make: Make) -> str | None:
    """The same text twice in a batch has the same vectors."""
    with opened("embedder", make) as embedder:
        texts = [TEXTS[0], TEXTS[4], TEXTS[0], "", TEXTS[4], ""]
        made = _all(embedder, texts)
        _require_near(
            embedder, texts, made, take(made, [2, 4, 0, 5, 1, 3]), "the second time", "vectors depend on the text alone"
        )
    return None


def check_different_texts_differ(make: Make) -> str | None:
    """Two texts without a word in common have different vectors."""
    with opened("embedder", make) as embedder:
        for role in ("document", "query"):
            made = _all(embedder, ["The volcano fell silent.", "She likes bitter marmalade on toast"], role)
            for output in _outputs(embedder):
                one = Vectors(**{output: getattr(made, output)})
                require(
                    apart(flat(one, 0), flat(one, 1)) > COSINE,
                    embedder,
                    f"gives two different texts the same {output} vector in the role {role!r}",
                    "embed the text that is given",
                )
    return None


def check_role_is_honoured(make: Make) -> str | None:
    """Queries are embedded as `identity().query` says: like documents where the two are equal, otherwise differently."""
    with opened("embedder", make) as embedder:
        told = embedder.identity()
        texts = list(TEXTS[:6])
        documents, queries = _all(embedder, texts, "document"), _all(embedder, texts, "query")
        same = dict(told.document) == dict(told.query)
        if same:
            todo = "honour the role in both or in neither; identity() must name what a query gets besides (a prompt)"
            _require_near(embedder, texts, documents, queries, "as a query, though identity() says the same", todo)
        else:
            equal = all(apart(flat(documents, row), flat(queries, row)) <= 1e-9 for row in range(len(texts)))
            require(
                not equal,
                embedder,
                "gives queries the vectors of documents, though its identity says that they differ",
                'read `role` in embed(): role == "query" needs the query\'s prompt',
            )
    return None


def check_empty_text_has_a_vector(make: Make) -> str | None:
    """An empty text and one of spaces have finite vectors in both roles."""
    with opened("embedder", make) as embedder:
        for role in ("document", "query"):
            _all(embedder, ["", " ", "\n"], role)
    return None


def check_long_text_has_a_vector(make: Make) -> str | None:
    """A text of 20,000 words has finite vectors: what does not fit the window is cut off."""
    with opened("embedder", make) as embedder:
        text = " ".join(f"word{i % 700}" for i in range(20_000))
        _all(embedder, [text, "short"])
    return None


def check_identity_is_flat_json(make: Make) -> str | None:
    """`identity()` has a non-empty flat JSON object for documents and one for queries, and a text as space."""
    with opened("embedder", make) as embedder:
        told = embedder.identity()
        for name, value in (("document", told.document), ("query", told.query)):
            plain = all(isinstance(v, str | int | float | bool) or v is None for v in value.values())
            require(
                bool(value) and plain and json.loads(json.dumps(dict(value))) == dict(value),
                embedder,
                f"has the identity().{name} {dict(value)!r}",
                'a flat object of text, numbers, true, false and null that names the weights: {"weights": sha256, ...}',
            )
        require(
            isinstance(told.space, str),
            embedder,
            f"has the space {told.space!r}",
            'a text; "" where only its own vectors compare',
        )
    return None


def check_identity_is_stable(make: Make) -> str | None:
    """`identity()` is the same after closing and opening, and for another embedder made alike."""
    with opened("embedder", make) as embedder:
        first = embedder.identity()
        embedder.instance.close(embedder.step)
        again = embedder.identity()
    with opened("embedder", make) as embedder:
        other = embedder.identity()
    for one, when in ((again, "after it was opened again"), (other, "when it is made again")):
        differs = difference(first, one, "identity()")
        require(
            not differs,
            embedder,
            f"has another identity {when}: {differs}",
            "build it of weights and settings, not of times, ids or paths",
        )
    return None


def check_equal_identity_means_equal_vectors(make: Make) -> str | None:
    """Two embedders with equal identities give a text the same vectors."""
    with opened("embedder", make) as embedder:
        first = _all(embedder, TEXTS)
    with opened("embedder", make) as embedder:
        second = _all(embedder, TEXTS)
        _require_near(
            embedder,
            TEXTS,
            first,
            second,
            "when it is made again",
            "no randomness without a fixed seed, no hash() of text",
        )
    return None


def _prepare(embedder: Any, folder: Path) -> list[str]:
    return list(TEXTS[:8])


def _call(embedder: Any, texts: Sequence[str]) -> list[NDArray[np.float32]]:
    made = _all(embedder, texts)
    return [flat(made, row) for row in range(len(texts))]


CHECKS: tuple[Check, ...] = (
    *(
        check
        for check in general_checks(Trial("embedder", _prepare, _call))
        if check.__name__ != "check_batch_equals_one_by_one"  # check_batch_size_does_not_matter states its tolerance
    ),
    check_outputs_are_known_unopened,
    check_gives_exactly_the_outputs_asked,
    check_refuses_other_outputs,
    check_width_is_constant,
    check_sparse_rows_are_sorted,
    check_batch_size_does_not_matter,
    check_duplicates_are_equal,
    check_different_texts_differ,
    check_role_is_honoured,
    check_empty_text_has_a_vector,
    check_long_text_has_a_vector,
    check_identity_is_flat_json,
    check_identity_is_stable,
    check_equal_identity_means_equal_vectors,
    tokens_check("embedder", TEXTS),
)
