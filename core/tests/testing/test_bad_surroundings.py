"""Middleware and readers that break one promise each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from hookrag import Document, Ranking, ReadError
from hookrag.testing import run_checks


class Plain:
    """Middleware with nothing to do."""

    def __init__(self) -> None:
        pass

    def around(self, call, proceed):
        return proceed(call)


class Reverses(Plain):
    def around(self, call, proceed):
        result = proceed(call)
        return (
            [replace(one, hits=()) if isinstance(one, Ranking) else one for one in result]
            if call.operation == "fuse"
            else result
        )


class Translates(Plain):
    def around(self, call, proceed):
        try:
            return proceed(call)
        except Exception as error:
            raise RuntimeError("a call failed") from error


class SpeaksTwice(Plain):
    def around(self, call, proceed):
        emit = call.options.get("emit")
        if emit is None:
            return proceed(call)

        def twice(*piece):
            emit(*piece)
            emit(*piece)

        return proceed(replace(call, options={**call.options, "emit": twice}))


class RunsElsewhere(Plain):
    def around(self, call, proceed):
        result: list[object] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                result.append(proceed(call))
            except BaseException as error:
                errors.append(error)

        thread = Thread(target=run)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return result[0]


class AddsAnOption(Plain):
    def around(self, call, proceed):
        if call.operation == "complete":
            return proceed(replace(call, options={"temperature": 0.0, **call.options}))
        return proceed(call)


class AnswersOnce(Plain):
    def __init__(self) -> None:
        self.seen: set[str] = set()

    def around(self, call, proceed):
        result = proceed(call)
        if call.operation == "rerank":
            if self.seen:
                return [replace(one, stage="again") for one in result]
            self.seen.add("rerank")
        return result


class TakesOptions(Plain):
    def around(self, call, proceed, *, quiet=False):
        return proceed(call)


MIDDLEWARE = [
    (Reverses, ["check_results_pass_unchanged", "check_nests_in_each_order"], "changes the first result of fuse"),
    (Translates, ["check_errors_pass"], "let errors pass that it does not handle, and raise the same one again"),
    (SpeaksTwice, ["check_streams_pass"], "give emit the index of the caller's item"),
    (RunsElsewhere, ["check_circumstances_are_kept"], "runs the component outside of the caller's request"),
    (AddsAnOption, ["check_calls_pass_unchanged"], "change a call by dataclasses.replace(call, items=...) alone"),
    (
        AnswersOnce,
        ["check_results_pass_unchanged", "check_nests_in_each_order"],
        "changes the second result of rerank: result[0].stage is 'overlap' and 'again'",
    ),
    (TakesOptions, ["check_around_takes_a_call_and_proceed"], "names the options ['quiet'] in around()"),
]


@pytest.mark.parametrize(("cls", "names", "text"), MIDDLEWARE, ids=lambda value: getattr(value, "__name__", ""))
def test_a_bad_middleware_fails_the_check_it_should(fails, cls, names, text):
    fails("middleware", cls, names, text)


def test_middleware_that_does_nothing_passes():
    assert {(one.outcome, one.message) for one in run_checks("middleware", Plain)} == {("passed", "")}


class Lines:
    """A reader of one document a line."""

    suffixes = frozenset({".txt"})

    def __init__(self) -> None:
        pass

    def read(self, path: Path, /, *, id: str) -> Iterator[Document]:
        try:
            text = path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ReadError(f"{path}: {error}") from error
        for number, line in enumerate(self.lines(text)):
            yield self.document(id, number, line)

    def lines(self, text: str) -> list[str]:
        return text.splitlines()

    def document(self, id: str, number: int, line: str) -> Document:
        return Document(f"{id}#{number}", line)


class ShoutsSuffixes(Lines):
    suffixes = frozenset({".txt", ".TXT"})


class SaysOneSuffix(Lines):
    suffixes = ".txt"


class LetsErrorsOut(Lines):
    def read(self, path, /, *, id):
        yield from (self.document(id, n, line) for n, line in enumerate(path.read_text("utf-8").splitlines()))


class ForgetsDecoding(Lines):
    def read(self, path, /, *, id):
        try:
            text = path.read_text("utf-8")
        except OSError as error:
            raise ReadError(f"{path}: {error}") from error
        yield from (self.document(id, n, line) for n, line in enumerate(text.splitlines()))


class KeepsSurrogates(Lines):
    def read(self, path, /, *, id):
        try:
            text = path.read_bytes().decode("utf-8", "surrogateescape")
        except OSError as error:
            raise ReadError(f"{path}: {error}") from error
        yield self.document(id, 0, text)


class NamesItsOwn(Lines):
    def document(self, id, number, line):
        return Document(f"line-{number}", line)


class NamesAllAlike(Lines):
    def document(self, id, number, line):
        return Document(id, line)


class NeedsALine(Lines):
    def lines(self, text):
        return [text.splitlines()[0]] if text[:1] != "\0" else []


class KeepsSets(Lines):
    def document(self, id, number, line):
        return Document(f"{id}#{number}", line, "", {"words": set(line.split())})


class LeavesANote(Lines):
    def read(self, path, /, *, id):
        yield from super().read(path, id=id)
        (path.parent / "done.log").write_text("read")


class ReadsNothing(Lines):
    def lines(self, text):
        return []


READERS = [
    (ShoutsSuffixes, ["check_suffixes_are_lower_case"], "lower case, with the dot"),
    (
        LetsErrorsOut,
        ["check_missing_file_is_a_read_error", "check_garbage_is_no_crash"],
        "LetsErrorsOut raises FileNotFoundError for missing.txt: raise ReadError with the file's name",
    ),
    (ForgetsDecoding, ["check_garbage_is_no_crash"], "raises UnicodeDecodeError for random.txt"),
    (KeepsSurrogates, ["check_garbage_is_no_crash"], 'decode with errors="replace", or raise ReadError'),
    (NamesItsOwn, ["check_ids_begin_with_the_files"], 'name documents f"{id}#{number}"'),
    (NamesAllAlike, ["check_ids_begin_with_the_files"], "gives an id twice: ['the/id', 'the/id'"),
    (NeedsALine, ["check_empty_file_is_no_crash"], "raises IndexError for empty.txt"),
    (KeepsSets, ["check_documents_are_read"], "JSON values only: dates as text, lists instead of tuples"),
    (LeavesANote, ["check_files_are_not_changed"], "open files for reading only"),
    (ReadsNothing, ["check_documents_are_read"], "reads no text from sample.txt"),
]


@pytest.mark.parametrize(("cls", "names", "text"), READERS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_bad_reader_fails_the_check_it_should(fails, cls, names, text):
    fails("reader", lambda folder: cls(), names, text)


def test_a_reader_that_says_one_text_for_its_suffixes_is_told():
    failed = {one.check: one.message for one in run_checks("reader", lambda folder: SaysOneSuffix())}
    assert 'set self.suffixes = frozenset({".md"})' in failed["check_suffixes_are_lower_case"]


def test_a_good_reader_passes_with_samples_of_its_own():
    class Acme(Lines):
        suffixes = frozenset({".acme"})

    def with_sample(folder: Path) -> Acme:
        (folder / "one.acme").write_text("a line\nanother")
        return Acme()

    assert {(one.outcome, one.message) for one in run_checks("reader", with_sample)} == {("passed", "")}
    told = {one.check: one.message for one in run_checks("reader", lambda folder: Acme())}
    assert told["check_documents_are_read"] == (
        "Acme reads ['.acme'], of which the kit has no sample: let make(folder) copy one into the folder before it returns "
        "the reader"
    )
