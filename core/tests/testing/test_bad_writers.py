"""Language models and generators that break one promise each."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hookrag import Citation, Completion, Usage
from hookrag.testing import run_checks
from hookrag.testing.fakes import FirstHit, ScriptedLLM


class Own(ScriptedLLM):
    """`ScriptedLLM`, changed."""

    def __init__(self) -> None:
        super().__init__()


class WritesOn(Own):
    def complete(self, prompts, *, n=1, max_tokens=None, temperature=0.0, emit=None):
        return super().complete(prompts, n=n, temperature=temperature, emit=emit)


class SaysNothing(Own):
    def __init__(self) -> None:
        ScriptedLLM.__init__(self, reply=" ")


class Wanders(Own):
    turns = itertools.count()

    def complete(self, prompts, *, n=1, max_tokens=None, temperature=0.0, emit=None):
        if prompts and n == 1 and max_tokens == 12 and emit is None and not prompts[0][0].content.startswith("Repeat"):
            return [[Completion(f"It is {next(self.turns)}")] for _ in prompts]
        return super().complete(prompts, n=n, max_tokens=max_tokens, temperature=temperature, emit=emit)


class IgnoresStop(Own):
    def complete(self, prompts, *, n=1, max_tokens=None, stop=(), temperature=0.0, emit=None):
        return super().complete(prompts, n=n, max_tokens=max_tokens, temperature=temperature, emit=emit)


class IgnoresTheSchema(Own):
    def complete(self, prompts, *, n=1, max_tokens=None, schema=None, temperature=0.0, emit=None):
        return super().complete(prompts, n=n, max_tokens=max_tokens, temperature=temperature, emit=emit)


class IgnoresLogprobs(Own):
    def complete(self, prompts, *, n=1, max_tokens=None, logprobs=False, temperature=0.0, emit=None):
        return super().complete(prompts, n=n, max_tokens=max_tokens, temperature=temperature, emit=emit)


class IgnoresTheSeed(Own):
    turns = itertools.count()

    def complete(self, prompts, *, n=1, max_tokens=None, seed=None, temperature=0.0, emit=None):
        made = super().complete(prompts, n=n, max_tokens=max_tokens, temperature=temperature, emit=emit)
        return made if seed is None else [[Completion(f"It is {next(self.turns)}")] for _ in prompts]


class TakesAnything(Own):
    def complete(self, prompts, **options):
        known = {name: value for name, value in options.items() if name in ("n", "max_tokens", "emit")}
        return super().complete(prompts, **known)


class CountsBackwards(Own):
    def count(self, texts):
        return [max(0, 9_000 - len(text)) for text in texts]

    window = 100_000

    def __init__(self) -> None:
        self.reply, self.model = "{prompt}", "scripted"


class HasASmallWindow(Own):
    def __init__(self) -> None:
        ScriptedLLM.__init__(self, window=3)


class StreamsWords(Own):
    def complete(self, prompts, *, n=1, max_tokens=None, temperature=0.0, emit=None):
        strip = None if emit is None else lambda index, text: emit(index, text.strip())
        return super().complete(prompts, n=n, max_tokens=max_tokens, temperature=temperature, emit=strip)


class NeverStreams(Own):
    def complete(self, prompts, *, n=1, max_tokens=None, temperature=0.0, emit=None):
        return super().complete(prompts, n=n, max_tokens=max_tokens, temperature=temperature)


class OwesTokens(Own):
    def complete(self, prompts, *, n=1, max_tokens=None, temperature=0.0, emit=None):
        made = super().complete(prompts, n=n, max_tokens=max_tokens, temperature=temperature, emit=emit)
        return [[replace(one, usage=Usage(-1, 0)) for one in completions] for completions in made]


LLMS = [
    (WritesOn, ["check_max_tokens_is_obeyed"], "where max_tokens = 1: pass max_tokens on to the model"),
    (SaysNothing, ["check_gives_n_completions"], "says nothing to any prompt"),
    (
        Wanders,
        [
            "check_temperature_of_nought_repeats",
            "check_batch_equals_one_by_one",
            "check_two_instances_agree",
            "check_works_again_after_close",
            "check_works_from_eight_threads",
        ],
        "be greedy at temperature 0: caches rely on it",
    ),
    (IgnoresStop, ["check_stop_is_obeyed"], "end the text before the first stop text"),
    (IgnoresTheSchema, ["check_schema_is_obeyed"], "or leave `schema` out of the signature"),
    (IgnoresLogprobs, ["check_logprobs_are_given"], "gives the logprobs None"),
    (IgnoresTheSeed, ["check_seed_repeats"], "says something else with the same seed"),
    (CountsBackwards, ["check_count_is_monotone", "check_max_tokens_is_obeyed"], "tokens for a text and a longer one"),
    (HasASmallWindow, ["check_window_is_positive"], "has a window of 3 tokens, and a prompt of the kit has"),
    (StreamsWords, ["check_pieces_join_to_the_text"], "emits 'Namethreecolours.' and completes"),
    (NeverStreams, ["check_pieces_join_to_the_text"], "takes emit and never calls it"),
    (OwesTokens, ["check_gives_n_completions"], "Usage(prompt tokens, completion tokens)"),
]


@pytest.mark.parametrize(("cls", "names", "text"), LLMS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_bad_llm_fails_the_check_it_should(fails, cls, names, text):
    fails("llm", cls, names, text)


def test_a_model_that_takes_anything_is_told_of_each_option():
    failed = {one.check: one.message for one in run_checks("llm", TakesAnything) if one.outcome == "failed"}
    assert failed["check_operations_name_their_options"].startswith("TakesAnything takes **kwargs in complete()")
    assert failed["check_stop_is_obeyed"] == (
        "TakesAnything takes 'stop' without naming it: write `stop` in the signature of complete()"
    )


def test_a_model_without_options_passes_and_says_what_it_lacks():
    class Plain(Own):
        def complete(self, prompts):
            return [[Completion(" ".join(prompt[-1].content.split()[:9]))] for prompt in prompts]

    results = run_checks("llm", Plain)
    assert {result.outcome for result in results} == {"passed"}
    notes = {result.check: result.message for result in results if result.message}
    assert notes["check_pieces_join_to_the_text"] == "it does not stream, and its texts come at the end"
    assert notes["check_max_tokens_is_obeyed"] == "its complete() does not take max_tokens, and it is refused"


class AlwaysKnows(FirstHit):
    def generate(self, rankings, *, emit=None):
        return [replace(answer, known=True) for answer in super().generate(rankings, emit=emit)]


class CitesNothing(FirstHit):
    def generate(self, rankings, *, emit=None):
        return [
            replace(answer, citations=tuple(Citation(0, 0, one.chunk) for one in answer.citations))
            for answer in super().generate(rankings, emit=emit)
        ]


class ChangesItsContext(FirstHit):
    def generate(self, rankings, *, emit=None):
        return [
            replace(
                answer,
                context=tuple(replace(hit, chunk=replace(hit.chunk, context="")) for hit in answer.context),
            )
            for answer in super().generate(rankings, emit=emit)
        ]


class CitesItsOwn(FirstHit):
    def generate(self, rankings, *, emit=None):
        return [
            replace(
                answer,
                citations=tuple(replace(one, chunk=replace(one.chunk, context="x")) for one in answer.citations),
            )
            for answer in super().generate(rankings, emit=emit)
        ]


class Formats(FirstHit):
    def generate(self, rankings, *, emit=None):
        for ranking in rankings:
            ranking.query.text.format(prompt="x")
            for hit in ranking.hits:
                if "{0}" in hit.chunk.text:
                    hit.chunk.text.format()
        return super().generate(rankings, emit=emit)


class LooksElsewhere(FirstHit):
    def generate(self, rankings, *, emit=None):
        made = super().generate(rankings, emit=emit)
        elsewhere = [hit for ranking in rankings for hit in ranking.hits][:1]
        return [
            answer if answer.query.where is None or answer.context else replace(answer, context=tuple(elsewhere))
            for answer in made
        ]


class KeepsSilent(FirstHit):
    def generate(self, rankings, *, emit=None):
        return super().generate(rankings)


class StreamsAnother(FirstHit):
    def generate(self, rankings, *, emit=None):
        shout = None if emit is None else lambda event: emit(replace(event, text=event.text.upper()))
        return super().generate(rankings, emit=shout)


class SaysNothingAtAll(FirstHit):
    def generate(self, rankings, *, emit=None):
        return [
            replace(answer, text="", citations=()) if "volcano" in answer.query.text else answer
            for answer in super().generate(rankings)
        ]


GENERATORS = [
    (AlwaysKnows, ["check_declines_without_context"], "Answer(query, 'not found', known=False)"),
    (CitesNothing, ["check_citations_hold"], "cites for the empty span 0:0 of its answer"),
    (ChangesItsContext, ["check_context_is_what_was_given"], "pass hits on as they came"),
    (CitesItsOwn, ["check_citations_hold"], "cites a changed chunk: chunk.context is"),
    (Formats, ["check_odd_contexts_are_answered"], "failed in generate: KeyError: 'prompt'"),
    (KeepsSilent, ["check_pieces_join_to_the_text"], "takes emit and never calls it"),
    (StreamsAnother, ["check_pieces_join_to_the_text"], "every piece of the answer, once, in order"),
    (
        SaysNothingAtAll,
        ["check_gives_one_answer_a_query", "check_pieces_join_to_the_text"],
        "an answer has a text, also where it declines",
    ),
]


@pytest.mark.parametrize(("cls", "names", "text"), GENERATORS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_bad_generator_fails_the_check_it_should(fails, cls, names, text):
    fails("generator", cls, names, text)
