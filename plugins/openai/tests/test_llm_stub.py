"""What is sent, and how failures are told, against a server that answers as it is told."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from traceback import format_exception

import pytest
from hookrag import DeadlineExceeded, HookragError, Message, TransientError, Usage, deadline, tracing
from hookrag.runtime.request import Request, serving
from hookrag_openai.llm import OpenAIChat

KEY = "sk-secret-0123456789"
PROMPT = [Message("system", "Be brief."), Message("user", "Hi")]


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@contextmanager
def opened(stub, **settings):
    llm = OpenAIChat(model="m", base_url=stub.url, **settings)
    llm.open()
    try:
        yield llm
    finally:
        llm.close()


def chat(*texts, finish="stop", usage=(7, 3), **choice):
    choices = [
        {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": finish, **choice}
        for i, text in enumerate(texts)
    ]
    spent = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)} if usage else None
    return 200, {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": spent}


def sse(*events, done=True):
    import json

    lines = [f"data: {json.dumps({'id': '1', 'object': 'chat.completion.chunk', **event})}\n\n" for event in events]
    return 200, "".join(lines) + ("data: [DONE]\n\n" if done else ""), {"content-type": "text/event-stream"}


def piece(text, finish=None, index=0):
    return {"choices": [{"index": index, "delta": {"content": text} if text else {}, "finish_reason": finish}]}


def test_what_is_sent(stub):
    stub.answer = lambda path, body: chat("a", "b")
    schema = {"type": "object", "properties": {}}
    with opened(stub) as llm:
        llm.complete([PROMPT], n=2)
        llm.complete([PROMPT], n=2, max_tokens=5, stop=["x"], temperature=0.5, seed=0, schema=schema)
    (path, plain, headers), (_, full, _) = stub.requests
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == f"Bearer {KEY}"
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert plain == {"model": "m", "messages": messages, "temperature": 0.0, "n": 2}
    assert full == {
        "model": "m",
        "messages": messages,
        "temperature": 0.5,
        "n": 2,
        "max_tokens": 5,
        "stop": ["x"],
        "seed": 0,
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}},
    }


def test_send_temperature(stub):
    stub.answer = lambda path, body: chat("a")
    with opened(stub, send_temperature=False) as llm:
        llm.complete([PROMPT])
        assert "temperature" not in stub.requests[0][1]
        with pytest.raises(HookragError) as caught:
            llm.complete([PROMPT], temperature=0.7)
    assert str(caught.value) == (
        f"model 'm' at {stub.url}: send_temperature is false, but temperature 0.7 was asked for"
    )


def test_completions_finish_usage_and_notes(stub):
    logprobs = {"content": [{"token": "a", "logprob": -0.5, "bytes": None, "top_logprobs": []}]}
    with opened(stub) as llm:
        stub.answer = lambda path, body: chat("a", "b", finish="length", logprobs=logprobs)
        with tracing() as trace:
            ((first, second),) = llm.complete([PROMPT], n=2, logprobs=True)
        assert (first.text, first.finish, first.usage, first.logprobs) == ("a", "length", Usage(7, 3), (-0.5,))
        assert (second.text, second.usage) == ("b", Usage())
        assert trace.notes == {"prompt_tokens": 7, "completion_tokens": 3, "model": "m"}
        stub.answer = lambda path, body: chat(None, finish="content_filter", usage=None)
        ((filtered,),) = llm.complete([PROMPT])
        assert (filtered.text, filtered.finish, filtered.usage) == ("", "filter", Usage())
        stub.answer = lambda path, body: (400, {"error": {"message": "filtered", "code": "content_filter"}})
        assert [one.finish for one in llm.complete([PROMPT], n=2)[0]] == ["filter", "filter"]
        stub.answer = lambda path, body: chat("a", finish="eos")
        assert llm.complete([PROMPT])[0][0].finish == "stop"


def test_streaming(stub):
    usage = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}
    events = [piece("Hel"), piece("x", index=1), piece("lo"), piece("", "stop"), piece("", "length", 1), usage]
    stub.answer = lambda path, body: sse(*events)
    pieces = []
    with opened(stub) as llm:
        ((first, second),) = llm.complete([PROMPT], n=2, emit=lambda index, text: pieces.append((index, text)))
    assert stub.requests[0][1]["stream"] is True
    assert stub.requests[0][1]["stream_options"] == {"include_usage": True}
    assert pieces == [(0, "Hel"), (0, "lo")]
    assert (first.text, first.finish, first.usage) == ("Hello", "stop", Usage(5, 2))
    assert (second.text, second.finish) == ("x", "length")


def test_a_broken_stream(stub):
    pieces = []
    with opened(stub) as llm:
        stub.answer = lambda path, body: sse(piece("Hel"), done=False)
        with pytest.raises(HookragError) as caught:
            llm.complete([PROMPT], emit=lambda index, text: pieces.append(text))
        assert not isinstance(caught.value, TransientError)
        assert str(caught.value) == (
            f"model 'm' at {stub.url} broke the stream off after 3 characters, which were passed on already: "
            f"ask again, or without streaming"
        )
        # cut in the middle of what it announced: nothing was passed on, so another try is safe
        stub.answer = lambda path, body: (200, "data: {", {"content-type": "text/event-stream", "content-length": "99"})
        with pytest.raises(TransientError):
            llm.complete([PROMPT], emit=lambda index, text: pieces.append(text))
    assert pieces == ["Hel"]


def test_an_error_of_the_receiver_is_its_own(stub):
    stub.answer = lambda path, body: sse(piece("a"), piece("", "stop"))

    def refuse(index, text):
        raise ValueError("no more")

    with opened(stub) as llm, pytest.raises(ValueError, match="no more"):
        llm.complete([PROMPT], emit=refuse)


WHERE = "model 'm' at {url}"


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (
            (401, {"error": {"message": f"Incorrect API key provided: {KEY}."}}),
            HookragError,
            f"{WHERE} refused the key (HTTP 401): Incorrect API key provided: ***.. Put a key that is valid for this "
            "server and model into the environment variable OPENAI_API_KEY",
        ),
        (
            (403, {"error": {"message": "Region"}}),
            HookragError,
            f"{WHERE} refused the key (HTTP 403): Region. Put a key that is valid for this server and model into the "
            "environment variable OPENAI_API_KEY",
        ),
        (
            (404, {"error": {"message": "The model `m` does not exist"}}),
            HookragError,
            f"{WHERE} was not found (HTTP 404): The model `m` does not exist. Check the model's name, and that base_url "
            "ends where the API begins (usually with /v1)",
        ),
        (
            (400, {"error": {"message": "too\n  long"}}),
            HookragError,
            f"{WHERE} refused the request (HTTP 400): too long",
        ),
        (
            (429, {"error": {"message": "You are out of it", "code": "insufficient_quota"}}),
            HookragError,
            f"{WHERE} refused the request (HTTP 429): You are out of it. The account is used up",
        ),
        (
            (501, {"error": {"message": "not supported"}}),
            HookragError,
            f"{WHERE} refused the request (HTTP 501): not supported",
        ),
        (
            (429, {"error": {"message": "Slow down"}}, {"retry-after": "20"}),
            TransientError,
            f"{WHERE} failed (HTTP 429): Slow down; it asks to wait 20 s",
        ),
        (
            (500, {"error": {"message": f"{KEY} {'x' * 400}"}}),
            TransientError,
            f"{WHERE} failed (HTTP 500): *** {'x' * 296}...",
        ),
        ((503, "busy", {"content-type": "text/plain"}), TransientError, f"{WHERE} failed (HTTP 503): busy"),
        ((502, ""), TransientError, f"{WHERE} failed (HTTP 502): Bad Gateway"),
        (
            (200, "<html>", {"content-type": "text/html"}),
            HookragError,
            f"{WHERE} did not answer in the format of OpenAI's API (base_url has to end where the API begins, usually "
            "with /v1): there is no completion in the answer",
        ),
        (
            (200, "{", {}),
            HookragError,
            f"{WHERE} did not answer in the format of OpenAI's API (base_url has to end where the API begins, usually "
            "with /v1): Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        (
            (200, {"object": "error"}),
            HookragError,
            f"{WHERE} did not answer in the format of OpenAI's API (base_url has to end where the API begins, usually "
            "with /v1): there is no completion in the answer",
        ),
    ],
)
def test_failures(stub, answer, kind, message):
    stub.answer = lambda path, body: answer
    with opened(stub) as llm, pytest.raises(HookragError) as caught:
        llm.complete([PROMPT])
    assert type(caught.value) is kind
    assert str(caught.value) == message.format(url=stub.url)
    assert KEY not in "".join(format_exception(caught.value))
    assert len(stub.requests) == 1  # retrying is left to the middleware


def test_too_few_completions_and_no_logprobs(stub):
    stub.answer = lambda path, body: chat("a")
    with opened(stub) as llm:
        with pytest.raises(HookragError, match=r": it gave 1 completions where n = 2$"):
            llm.complete([PROMPT], n=2)
        with pytest.raises(HookragError, match=r" gives no logprobs: leave them out or use another server$"):
            llm.complete([PROMPT], logprobs=True)


def test_time(stub):
    def late(path, body):
        time.sleep(0.5)
        return chat("a")

    stub.answer = late
    with opened(stub, timeout=0.1) as llm, pytest.raises(TransientError) as caught:
        llm.complete([PROMPT])
    assert str(caught.value) == f"model 'm' at {stub.url} did not answer within 0.1 s"
    with opened(stub) as llm, deadline(0.1), pytest.raises(DeadlineExceeded) as passed:
        llm.complete([PROMPT])
    assert str(passed.value) == f"the deadline passed while model 'm' at {stub.url} was answering: give more time"


def test_a_batch_runs_concurrently(stub):
    together = Barrier(3, timeout=20)  # no request is answered before all three are there

    def answer(path, body):
        together.wait()
        return chat(body["messages"][0]["content"])

    stub.answer = answer
    with opened(stub) as llm, ThreadPoolExecutor(3) as pool, serving(Request(pool=pool)):
        made = llm.complete([[Message("user", text)] for text in "abc"])
    assert [one.text for (one,) in made] == ["a", "b", "c"]


def test_no_more_requests_at_once_than_asked_for(stub):
    running, most = [], []

    def answer(path, body):
        running.append(1)
        most.append(len(running))
        time.sleep(0.02)
        running.pop()
        return chat("a")

    stub.answer = answer
    with opened(stub, concurrency=2) as llm, ThreadPoolExecutor(6) as pool, serving(Request(pool=pool)):
        llm.complete([PROMPT] * 8)
    assert max(most) == 2


def test_models_are_checked_when_opened(stub):
    listed = {"object": "list", "data": [{"id": "other", "object": "model", "created": 1, "owned_by": "x"}]}
    stub.models = (200, listed)
    with pytest.raises(HookragError) as caught, opened(stub):
        pass
    assert str(caught.value) == f"{stub.url} does not serve the model 'm': its only model is 'other'"
    listed["data"][0].update(id="m:latest", max_model_len=4096)
    with pytest.raises(HookragError) as caught, opened(stub):
        pass
    assert str(caught.value) == (
        f"model 'm' at {stub.url} has a window of 4096 tokens, but window = 8192 is configured: write window = 4096, or "
        f"start the server with more"
    )
    with opened(stub, window=4096) as llm:
        assert llm.window == 4096
        assert llm.count(["abc", "\u6771\u4eac", ""]) == [3, 6, 0]  # bytes: the server offers no count
    listed["data"] = [{"id": "a"}, {"id": "b"}]  # a gateway may serve more than it lists, and refuses by itself
    with opened(stub):
        pass
    stub.models = (401, {"error": {"message": "who?"}})
    with pytest.raises(HookragError, match="refused the key"), opened(stub):
        pass


def test_llamacpps_server_is_asked_for_counts_and_its_connections_are_closed(stub):
    entry = {"id": "m.gguf", "aliases": ["m"], "owned_by": "llamacpp", "meta": {"n_ctx": 9000}}
    stub.models = (200, {"object": "list", "data": [entry]})
    stub.answer = lambda path, body: (200, {"tokens": body["content"].split()}) if path == "/tokenize" else chat("a")
    with opened(stub) as llm:
        assert llm.count(["a b c", "", "d"]) == [3, 0, 1]
        llm.complete([PROMPT])
        assert [(path, headers["connection"]) for path, _, headers in stub.requests] == [
            ("/tokenize", "close"),
            ("/tokenize", "close"),
            ("/v1/chat/completions", "close"),
        ]
        stub.answer = lambda path, body: (200, {"count": 3})
        with pytest.raises(HookragError, match=r": /tokenize gave no list of tokens$"):
            llm.count(["a"])


def test_keys(stub, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    stub.answer = lambda path, body: chat("a")
    with opened(stub) as llm:  # on this machine, none is needed
        llm.complete([PROMPT])
    assert stub.requests[0][2]["authorization"] == "Bearer none"
    far = OpenAIChat(model="m", base_url="https://llm.example/v1/", api_key_env="LLM_KEY")
    with pytest.raises(HookragError) as caught:
        far.open()
    assert str(caught.value) == (
        "model 'm' at https://llm.example/v1 needs a key: the environment variable LLM_KEY is not set. Set it (to any text "
        "where the server wants none), or name another variable in api_key_env"
    )
    monkeypatch.setenv("LLM_KEY", KEY)
    assert KEY not in repr(vars(llm)) + repr(llm)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base_url": "https://me:hush@h/v1"}, "base_url must not carry a user, a password, a query or a fragment: put the "
         "key into an environment variable and name that one in api_key_env"),
        ({"base_url": "https://h/v1?key=hush"}, "base_url must not carry a user, a password, a query or a fragment: put "
         "the key into an environment variable and name that one in api_key_env"),
        ({"base_url": "h/v1"}, "base_url must begin with http:// or https:// and name a host, got 'h/v1'"),
        ({"api_key_env": "sk-hush"}, "api_key_env must be the name of an environment variable (capital letters, digits, "
         "_), not the key itself"),
        ({"model": ""}, "model must not be empty"),
        ({"timeout": 0.0}, "timeout must be above 0 seconds, got 0.0"),
        ({"concurrency": 0}, "concurrency must be at least 1, got 0"),
        ({"window": 0}, "window must be at least 1, got 0"),
    ],
)  # fmt: skip
def test_settings(settings, message):
    with pytest.raises(ValueError) as caught:
        OpenAIChat(**{"model": "m", **settings})
    assert str(caught.value) == message
    assert "hush" not in str(caught.value)


def test_openai_itself_gets_the_new_name_of_the_limit():
    asked = OpenAIChat(model="m")._body(PROMPT, _asked(9))
    assert (asked["max_completion_tokens"], "max_tokens" in asked) == (9, False)


def _asked(max_tokens):
    from hookrag_openai.llm import _Asked

    return _Asked(1, max_tokens, (), 0.0, None, None, False, None)


def test_the_client_is_loaded_when_it_is_opened():
    code = "import sys, hookrag_openai.plugin, hookrag_openai.llm, hookrag_openai.embedder; assert 'openai' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
