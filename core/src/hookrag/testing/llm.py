"""What a language model promises: completions as asked for, honest counts, and pieces that join to the text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from hookrag.errors import ContractError
from hookrag.testing._kit import Check, Make, difference, opened, options_of, refusal, require
from hookrag.testing.general import Trial, general_checks
from hookrag.values import Completion, Message

Prompt = Sequence[Message]

PROMPTS: tuple[tuple[Message, ...], ...] = (
    (Message("user", "Name three colours."),),
    (Message("system", "Answer in one short sentence."), Message("user", "What is the capital of France?")),
    (
        Message("user", "My name is Ada."),
        Message("assistant", "Hello, Ada."),
        Message("user", "What is my name? Answer shortly."),
    ),
)
LIMIT = 12


def _complete(llm: Any, prompts: Sequence[Prompt], **options: Any) -> list[list[Completion]]:
    """The completions, short where the model takes `max_tokens`."""
    if "max_tokens" in options_of(llm, "complete"):
        options.setdefault("max_tokens", LIMIT)
    made: list[list[Completion]] = llm.complete(prompts, **options)
    return made


def _refuses(llm: Any, option: str, value: Any) -> str:
    """Why there is nothing to check where complete() does not name an option, after seeing that it is refused."""
    error = refusal(lambda: llm.complete(PROMPTS[:1], **{option: value}))
    require(
        isinstance(error, ContractError),
        llm,
        f"takes {option!r} without naming it",
        f"write `{option}` in the signature of complete()",
    )
    return f"its complete() does not take {option}, and it is refused"


def check_gives_n_completions(make: Make) -> str | None:
    """Each prompt gets n completions with text, a finish and a usage that is not negative."""
    with opened("llm", make) as llm:
        for n in (1, 2) if "n" in options_of(llm, "complete") else (1,):
            made = _complete(llm, PROMPTS, n=n)
            for completions in made:
                for one in completions:
                    counted = (one.usage.prompt_tokens, one.usage.completion_tokens)
                    require(
                        isinstance(one.text, str) and one.finish in ("stop", "length", "filter") and min(counted) >= 0,
                        llm,
                        f"gives {one!r:.120}",
                        'Completion(text, "stop" | "length" | "filter", Usage(prompt tokens, completion tokens))',
                    )
            require(
                any(one.text.strip() for completions in made for one in completions),
                llm,
                "says nothing to any prompt",
                "return the text of the model",
            )
    return None


def check_max_tokens_is_obeyed(make: Make) -> str | None:
    """A completion has at most `max_tokens` tokens by its own usage and about as many by count()."""
    with opened("llm", make) as llm:
        if "max_tokens" not in options_of(llm, "complete"):
            return _refuses(llm, "max_tokens", 3)
        for limit in (1, 3):
            for (one,) in llm.complete(PROMPTS, max_tokens=limit):
                (counted,) = llm.count([one.text])
                # A text may be cut into a few more tokens when it is read than when it was written.
                require(
                    one.usage.completion_tokens <= limit and counted <= 2 * limit + 2,
                    llm,
                    f"writes {one.usage.completion_tokens} tokens ({counted} by count()) where max_tokens = {limit}",
                    "pass max_tokens on to the model",
                )
    return None


def check_stop_is_obeyed(make: Make) -> str | None:
    """A completion ends before a stop text and does not contain it."""
    with opened("llm", make) as llm:
        if "stop" not in options_of(llm, "complete"):
            return _refuses(llm, "stop", ("x",))
        plain = _complete(llm, PROMPTS)
        checked = 0
        for prompt, (one,) in zip(PROMPTS, plain, strict=True):
            half = len(one.text) // 2
            stop = one.text[half : half + 3]
            if len(stop) < 3:
                continue
            checked += 1
            ((stopped,),) = _complete(llm, [prompt], stop=(stop,))
            require(
                stop not in stopped.text,
                llm,
                f"writes {stopped.text[:60]!r} where stop = ({stop!r},)",
                "end the text before the first stop text",
            )
    return None if checked else "its completions are too short to be stopped"


def check_temperature_of_nought_repeats(make: Make) -> str | None:
    """At temperature 0 a prompt has the same completion each time. A service that cannot promise it declares this one."""
    with opened("llm", make) as llm:
        first, second = (_complete(llm, PROMPTS) for _ in range(2))
        for (one,), (other,) in zip(first, second, strict=True):
            require(
                one.text == other.text,
                llm,
                f"says {one.text[:40]!r} and then {other.text[:40]!r} at temperature 0",
                "be greedy at temperature 0: caches rely on it",
            )
    return None


def check_seed_repeats(make: Make) -> str | None:
    """With a seed a prompt has the same completion each time, at any temperature."""
    with opened("llm", make) as llm:
        if "seed" not in options_of(llm, "complete"):
            return _refuses(llm, "seed", 1)
        options = {"seed": 7} | ({"temperature": 1.0} if "temperature" in options_of(llm, "complete") else {})
        first, second = (_complete(llm, PROMPTS, **options) for _ in range(2))
        differs = difference(
            [[one.text for one in made] for made in first], [[one.text for one in made] for made in second]
        )
        require(not differs, llm, f"says something else with the same seed: {differs}", "pass the seed on to the model")
    return None


def check_schema_is_obeyed(make: Make) -> str | None:
    """With a JSON Schema the completion is JSON that obeys it."""
    schema = {
        "type": "object",
        "properties": {"colour": {"type": "string", "enum": ["red", "blue"]}},
        "required": ["colour"],
        "additionalProperties": False,
    }
    with opened("llm", make) as llm:
        if "schema" not in options_of(llm, "complete"):
            return _refuses(llm, "schema", schema)
        options: dict[str, Any] = {"max_tokens": 64} if "max_tokens" in options_of(llm, "complete") else {}
        ((one,),) = _complete(llm, PROMPTS[:1], schema=schema, **options)
        try:
            value = json.loads(one.text)
        except ValueError:
            value = one.text
        require(
            isinstance(value, dict) and list(value) == ["colour"] and value["colour"] in ("red", "blue"),
            llm,
            f"writes {one.text[:60]!r} for the schema {json.dumps(schema)}",
            "constrain the model by the schema, or leave `schema` out of the signature",
        )
    return None


def check_logprobs_are_given(make: Make) -> str | None:
    """With `logprobs` a completion has one natural logarithm, at most 0, for each token; without it none."""
    with opened("llm", make) as llm:
        if "logprobs" not in options_of(llm, "complete"):
            return _refuses(llm, "logprobs", True)
        for (one,) in _complete(llm, PROMPTS, logprobs=True):
            right = one.logprobs is not None and len(one.logprobs) > 0 and max(one.logprobs) <= 1e-6
            require(right, llm, f"gives the logprobs {one.logprobs!r:.80}", "ln p of each token of the text, at most 0")
        for (one,) in _complete(llm, PROMPTS):
            require(one.logprobs is None, llm, "gives logprobs unasked", "None unless they are asked for")
    return None


def check_count_is_monotone(make: Make) -> str | None:
    """`count` gives a whole number of at least 0 for each text, no less for a text with more after it."""
    with opened("llm", make) as llm:
        text = "Reciprocal rank fusion adds reciprocal ranks. 检索增强生成 👩‍🚀 \x00 end. " * 3
        prefixes = [text[: 7 * i] for i in range(len(text) // 7)]
        counted = llm.count(["", *prefixes, text, text * 20])
        require(
            all(isinstance(one, int) and one >= 0 for one in counted),
            llm,
            f"counts {counted[:5]}",
            "a whole number of at least 0 for each text",
        )
        # A cut inside a word or an emoji can take a few tokens more than the whole.
        falls = [(a, b) for a, b in pairwise(counted[1:]) if b < a - 4]
        require(
            not falls and counted[0] <= 4 and counted[-1] > counted[-2],
            llm,
            f"counts {falls[:1] or counted[-2:]} tokens for a text and a longer one",
            "count the tokens that the model reads",
        )
        require(llm.count([text, ""])[0] == llm.count([text])[0], llm, "counts a text by its neighbours", "one by one")
        require(llm.count([]) == [], llm, "counts texts that are not there", "an empty list for an empty list")
    return None


def check_window_is_positive(make: Make) -> str | None:
    """`window` is a whole number above the tokens of the kit's short prompts."""
    with opened("llm", make) as llm:
        window = llm.window
        longest = max(sum(llm.count([turn.content for turn in prompt])) for prompt in PROMPTS)
        require(
            window > longest,
            llm,
            f"has a window of {window} tokens, and a prompt of the kit has {longest}",
            "window is the most tokens of prompt and completion together",
        )
    return None


def check_pieces_join_to_the_text(make: Make) -> str | None:
    """The pieces that `emit` gets for a prompt join to its first completion; a model without `emit` gives them at the end."""
    with opened("llm", make) as llm:
        streams = "emit" in options_of(llm, "complete")
        pieces: list[list[str]] = [[] for _ in PROMPTS]
        made = _complete(llm, PROMPTS, emit=lambda index, text: pieces[index].append(text))
        for index, (one, *_) in enumerate(made):
            joined = "".join(pieces[index])
            require(
                joined == one.text,
                llm,
                f"emits {joined[:60]!r} and completes {one.text[:60]!r}",
                "emit(prompt index, text) every piece of the first completion, once, in order",
            )
        if streams:
            direct: list[int] = []
            llm.instance.component.complete(PROMPTS[:1], emit=lambda index, text: direct.append(index))
            require(
                bool(direct),
                llm,
                "takes emit and never calls it",
                "call it as pieces come, or leave it out of the signature",
            )
    return None if streams else "it does not stream, and its texts come at the end"


def check_prompts_are_answered_by_themselves(make: Make) -> str | None:
    """Different prompts in a batch get their own completions: another last message can change the answer."""
    with opened("llm", make) as llm:
        many = [(Message("user", f"Repeat this word: {word}"),) for word in ("apple", "river", "stone", "cloud")]
        together = [made[0].text for made in _complete(llm, many)]
        alone = [_complete(llm, [prompt])[0][0].text for prompt in many]
        require(
            sorted(together) != sorted(alone) or together == alone,
            llm,
            "gives the completions of a batch in another order",
            "one list of completions for each prompt, in the order of the prompts",
        )
    return None


def _prepare(llm: Any, folder: Path) -> list[Prompt]:
    return list(PROMPTS)


def _call(llm: Any, prompts: Sequence[Prompt]) -> list[list[str]]:
    return [[one.text for one in completions] for completions in _complete(llm, prompts)]


CHECKS: tuple[Check, ...] = (
    *general_checks(Trial("llm", _prepare, _call)),
    check_gives_n_completions,
    check_max_tokens_is_obeyed,
    check_stop_is_obeyed,
    check_temperature_of_nought_repeats,
    check_seed_repeats,
    check_schema_is_obeyed,
    check_logprobs_are_given,
    check_count_is_monotone,
    check_window_is_positive,
    check_pieces_join_to_the_text,
    check_prompts_are_answered_by_themselves,
)
