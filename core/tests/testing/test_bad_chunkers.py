"""Chunkers that break one promise each, of their kind or of every kind."""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import replace
from typing import Annotated

import pytest
from hookrag import AtLeast, Document, chunk_of
from hookrag.testing import general
from hookrag.testing.chunker import CHECKS
from hookrag.testing.fakes import WordChunker


class Own(WordChunker):
    """A chunker whose chunks are those of `WordChunker(size=5)`, changed."""

    def __init__(self) -> None:
        super().__init__(size=5)

    def chunk(self, documents):
        return [
            self.changed(document, chunks) for document, chunks in zip(documents, super().chunk(documents), strict=True)
        ]

    def changed(self, document, chunks):
        return chunks


class ReadsInConstructor(Own):
    def __init__(self) -> None:
        super().__init__()
        with open(os.devnull):
            pass


class DeclaresOnly(Own):
    def __init__(self, *, times: Annotated[int, AtLeast(1)] = 1) -> None:
        super().__init__()
        self.times = times


class NamesNoOption(Own):
    def __init__(self, *, times: Annotated[int, AtLeast(1)] = 1) -> None:
        if times < 1:
            raise ValueError("not so few")
        super().__init__()
        self.times = times


class BreaksItsOwnLimit(Own):
    def __init__(self, *, times: Annotated[int, AtLeast(1)] = 0) -> None:
        super().__init__()
        self.times = times


class LooksAroundInConstructor(Own):
    def __init__(self) -> None:
        super().__init__()
        os.listdir(".")


class TakesAnObject(Own):
    def __init__(self, *, anything: object = None) -> None:
        super().__init__()
        self.anything = anything


class HasNoTypes(Own):
    def __init__(self, *, anything=None) -> None:
        super().__init__()
        self.anything = anything


class ForgetsAParameter(Own):
    def __init__(self, *, overlap: int = 0) -> None:
        super().__init__()


class TakesEverything(Own):
    def chunk(self, documents, **options):
        return super().chunk(documents)


class TakesASecret(Own):
    def __init__(self, *, api_key: str = "") -> None:
        super().__init__()
        self.api_key = api_key


class ShowsASecret(Own):
    def __init__(self, *, key_env: str = "ACME_TEST_KEY") -> None:
        super().__init__()
        self.key_env = key_env
        self.key = ""

    def open(self) -> None:
        self.key = os.environ.get(self.key_env, "none")

    def __repr__(self) -> str:
        return f"ShowsASecret(key={self.key!r})"


class OpensOnce(Own):
    def close(self) -> None:
        self.size = 1


class RemembersTheCall(Own):
    def chunk(self, documents):
        self.now = documents
        time.sleep(0.002)
        return super().chunk(self.now)


class Marks(Own):
    def changed(self, document, chunks):
        document.metadata["seen"] = True
        return chunks


class Differs(Own):
    made = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.size = 5 + next(self.made) % 2


class NeedsADocument(Own):
    def chunk(self, documents):
        documents[0]
        return super().chunk(documents)


class LooksAtItsNeighbours(Own):
    def chunk(self, documents):
        return WordChunker(size=5 if len(documents) == 1 else 6).chunk(documents)


class LeavesOut(Own):
    def changed(self, document, chunks):
        return chunks[:1] + chunks[2:]


class GoesBackwards(Own):
    def changed(self, document, chunks):
        return chunks[::-1]


class KeepsBlanks(Own):
    def changed(self, document, chunks):
        return chunks or [chunk_of(document, 0, len(document.text))]


class KeepsMargins(Own):
    def changed(self, document, chunks):
        margin = len(document.text) - len(document.text.lstrip())
        return [chunk_of(document, 0, margin), *chunks] if margin and chunks else chunks


class StopsEarly(Own):
    def changed(self, document, chunks):
        return [chunk for chunk in chunks if chunk.end < 100_000]


class NamesByNumber(Own):
    def changed(self, document, chunks):
        return [replace(chunk, id=f"{document.id}#{i}") for i, chunk in enumerate(chunks)]


class NamesByPlace(Own):
    def changed(self, document, chunks):
        plain = Document(document.id, "x" * len(document.text))
        return [replace(chunk, id=chunk_of(plain, chunk.start, chunk.end).id) for chunk in chunks]


class DropsMetadata(Own):
    def changed(self, document, chunks):
        bare = replace(document, metadata={})
        return [chunk_of(bare, chunk.start, chunk.end) for chunk in chunks]


class MixesFamilies(Own):
    def changed(self, document, chunks):
        return [replace(chunk, parent=chunks[0].id) for chunk in chunks]


class CutsText(Own):
    def changed(self, document, chunks):
        return [replace(chunk, text=chunk.text.replace("\x00", "")) for chunk in chunks]


EVERY_USE = [check.__name__ for check in CHECKS if check.__name__.startswith("check_")]
UNADOPTED = (
    "check_constructor_does_no_io",
    "check_signature_is_a_schema",
    "check_operations_name_their_options",
    "check_parameters_are_kept",
    "check_limits_are_kept_in_python",
)

BAD = [
    (ReadsInConstructor, ["check_constructor_does_no_io"], "open('/dev/null',): do it in open(self)"),
    (LooksAroundInConstructor, ["check_constructor_does_no_io"], "os.listdir('.',): do it in open(self)"),
    (TakesAnObject, ["check_signature_is_a_schema"], "use str, int, float, bool, Path, Literal"),
    (
        ForgetsAParameter,
        ["check_parameters_are_kept", *(name for name in EVERY_USE if name not in UNADOPTED)],
        "ForgetsAParameter does not keep its parameter 'overlap': write `self.overlap = overlap` in __init__",
    ),
    (
        DeclaresOnly,
        ["check_limits_are_kept_in_python"],
        "DeclaresOnly takes times = 0, though its type says at least 1: decorate the constructor with hookrag.checked",
    ),
    (
        NamesNoOption,
        ["check_limits_are_kept_in_python"],
        "NamesNoOption refuses times = 0 without naming it: not so few: decorate the constructor with hookrag.checked",
    ),
    (
        BreaksItsOwnLimit,
        ["check_limits_are_kept_in_python"],
        "has a default that its own type refuses: ['times must be at least 1, got 0']: change one of them",
    ),
    (TakesEverything, ["check_operations_name_their_options"], "takes **kwargs in chunk()"),
    (TakesASecret, ["check_repr_shows_no_secret"], "take the name of an environment variable, `api_key_env: str`"),
    (ShowsASecret, ["check_repr_shows_no_secret"], "ShowsASecret shows a secret in its repr() or in an error"),
    (OpensOnce, ["check_works_again_after_close"], "let open() make anew whatever close() ends"),
    (RemembersTheCall, ["check_works_from_eight_threads"], "keep no state of a call on self"),
    (Marks, ["check_inputs_are_not_changed"], "changes what it is given: items[0].metadata"),
    (Differs, ["check_two_instances_agree"], "use no randomness without a fixed seed"),
    (NeedsADocument, ["check_empty_batch_gives_nothing"], "IndexError: list index out of range"),
    (LooksAtItsNeighbours, ["check_batch_equals_one_by_one"], "gives item 0 alone another result than in its batch"),
    (LeavesOut, ["check_every_character_is_covered"], "let spans meet, and end the last one at the end of the text"),
    (GoesBackwards, ["check_chunks_come_in_order"], "sort them by start; a parent comes before its children"),
    (
        KeepsBlanks,
        ["check_blank_documents_have_no_text", "check_chunks_have_text"],
        "return an empty list for it: an empty chunk would be embedded and found",
    ),
    (KeepsMargins, ["check_chunks_have_text"], "leave out spans of white space"),
    (StopsEarly, ["check_long_documents_are_chunked"], "stops at character 99"),
    (NamesByNumber, ["check_ids_are_hashes", "check_equal_ids_mean_equal_chunks"], "names a chunk 'fusion#0'"),
    (NamesByPlace, ["check_equal_ids_mean_equal_chunks"], "gives one id to two chunks: chunk.context"),
    (
        DropsMetadata,
        ["check_chunks_keep_the_metadata"],
        "drops the metadata ['lang', 'year', 'tags', 'draft', 'price']",
    ),
    (
        MixesFamilies,
        ["check_parents_hold_their_children"],
        "a parent holds the whole span of its children",
    ),
]


@pytest.mark.parametrize(("cls", "names", "text"), BAD, ids=lambda value: getattr(value, "__name__", ""))
def test_a_bad_chunker_fails_the_check_it_should(fails, cls, names, text):
    fails("chunker", cls, names, text)


def test_a_constructor_without_types_is_no_schema():
    check = next(check for check in CHECKS if check.__name__ == "check_signature_is_a_schema")
    with pytest.raises(AssertionError) as caught:
        check(HasNoTypes)
    assert "the parameter 'anything' of the constructor has no type: name and annotate every parameter" in str(
        caught.value
    )


def test_text_that_is_no_span_fails_wherever_it_is_met():
    check = next(check for check in CHECKS if check.__name__ == "check_chunks_are_exact_spans")
    with pytest.raises(Exception, match="a chunk is an exact span of its document"):
        check(CutsText)


def test_a_slow_constructor_is_told(monkeypatch):
    monkeypatch.setattr(general, "CONSTRUCTOR_SECONDS", -1.0)
    check = next(check for check in CHECKS if check.__name__ == "check_constructor_does_no_io")
    with pytest.raises(AssertionError) as caught:
        check(WordChunker)
    assert str(caught.value) == (
        "WordChunker takes 0.0 s of processor time in its constructor: load models in open(self)"
    )
