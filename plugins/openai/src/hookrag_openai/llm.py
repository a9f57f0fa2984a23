"""The llm `openai`: chat completions of any OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from hookrag import (
    Above,
    AtLeast,
    Completion,
    DeadlineExceeded,
    HookragError,
    Message,
    Usage,
    checked,
    fan_out,
    note,
    time_left,
)

from hookrag_openai._server import OPENAI, BaseUrl, KeyEnv, Model, Server

if TYPE_CHECKING:
    import openai
    from openai.types import CompletionUsage

_FINISH: Mapping[str, Literal["stop", "length", "filter"]] = {"length": "length", "content_filter": "filter"}


@dataclass(frozen=True, slots=True)
class _Asked:
    """The options of one call of `complete`."""

    n: int
    max_tokens: int | None
    stop: Sequence[str]
    temperature: float
    seed: int | None
    schema: Mapping[str, Any] | None
    logprobs: bool
    emit: Callable[[int, str], None] | None


@dataclass(slots=True)
class _Choice:
    """One completion as it is written."""

    pieces: list[str] = field(default_factory=list)
    finish: str | None = None
    logprobs: list[float] | None = None

    def add(self, text: str | None, finish: str | None, logprobs: Any) -> None:
        if text:
            self.pieces.append(text)
        if finish:
            self.finish = finish
        if logprobs is not None and logprobs.content is not None:
            self.logprobs = [*(self.logprobs or ()), *(token.logprob for token in logprobs.content)]


class OpenAIChat:
    """A chat model behind an OpenAI-compatible API: OpenAI's own, llama.cpp's server, vLLM, Ollama, a gateway.

    The prompts of a batch are sent concurrently, at most `concurrency` requests at a time. `window` is the number of
    tokens that the model reads and writes together; a server that says it has less is refused when it is opened. A
    model that takes no temperature needs `send_temperature = false`. The key comes from the environment variable
    `api_key_env`, which may be missing for a server on this machine. Nothing is tried again here: put the `retry`
    middleware around it.

    The server's usage counts the prompt once and all n completions; it is on the first of them.
    """

    version = 1

    @checked
    def __init__(
        self,
        *,
        model: Model,
        base_url: BaseUrl = OPENAI,
        api_key_env: KeyEnv = "OPENAI_API_KEY",
        window: Annotated[int, AtLeast(1), "tokens that the model reads and writes together"] = 8192,
        timeout: Annotated[
            float,
            Above(0, "seconds"),
            "seconds for one request, or for the next piece of a stream; fewer where the deadline is nearer",
        ] = 60.0,
        concurrency: Annotated[int, AtLeast(1), "requests at once, over all calls"] = 8,
        send_temperature: Annotated[bool, "false for models that refuse a temperature"] = True,
    ) -> None:
        self._server = Server(
            model=model, base_url=base_url, api_key_env=api_key_env, timeout=timeout, concurrency=concurrency
        )
        self._model = model
        self._base_url = base_url
        self._api_key_env = api_key_env
        self._window = window
        self._timeout = timeout
        self._concurrency = concurrency
        self._send_temperature = send_temperature
        self._llamacpp = False
        # OpenAI's newer models refuse the old name of the limit; the servers of others may not know the new one.
        host = self._server.host
        self._new_limit = host == "api.openai.com" or host.endswith(".openai.azure.com")

    @property
    def window(self) -> int:
        """The most tokens of prompt and completion together."""
        return self._window

    def open(self) -> None:
        """Make the client and ask the server for its models.

        Raises HookragError for a missing or refused key, another model, and a window that the server has not.
        """
        self._server.open()
        served = self._server.served()
        if served.window is not None and served.window < self._window:
            raise HookragError(
                f"{self._server.where} has a window of {served.window} tokens, but window = {self._window} "
                f"is configured: write window = {served.window}, or start the server with more"
            )
        self._llamacpp = served.llamacpp

    def close(self) -> None:
        """Close the connections."""
        self._server.close()

    def complete(
        self,
        prompts: Sequence[Sequence[Message]],
        /,
        *,
        n: int = 1,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
        seed: int | None = None,
        schema: Mapping[str, Any] | None = None,
        logprobs: bool = False,
        emit: Callable[[int, str], None] | None = None,
    ) -> list[list[Completion]]:
        """n completions of each prompt; the batch runs concurrently, and `emit` may be called from several threads.

        Raises TransientError for a server that is busy or away, DeadlineExceeded, and HookragError for what will not
        pass. A stream that breaks off after some text was passed on is a HookragError: another try would repeat it.
        """
        if temperature and not self._send_temperature:
            raise HookragError(
                f"{self._server.where}: send_temperature is false, but temperature {temperature} was asked for"
            )
        asked = _Asked(n, max_tokens, stop, temperature, seed, schema, logprobs, emit)
        made = fan_out([partial(self._complete_one, index, prompt, asked) for index, prompt in enumerate(prompts)])
        # Noted here, not by the threads: adding to a number is not atomic.
        total = sum((completion.usage for completions in made for completion in completions), Usage())
        note(prompt_tokens=total.prompt_tokens, completion_tokens=total.completion_tokens, model=self._model)
        return made

    def count(self, texts: Sequence[str], /) -> list[int]:
        """How many tokens each text has: exactly, from llama.cpp's `/tokenize`; elsewhere the number of UTF-8 bytes.

        No token of a byte-level or byte-fallback vocabulary is shorter than a byte, so that this is never too few;
        English has about four bytes a token. No vocabulary is downloaded for it.
        """
        if not self._llamacpp:
            return [len(text.encode("utf-8", "surrogatepass")) for text in texts]
        return fan_out([partial(self._tokenize, text) for text in texts])

    def _tokenize(self, text: str) -> int:
        if not text:
            return 0
        url = f"{self._server.base_url.removesuffix('/v1')}/tokenize"

        def request(client: openai.OpenAI, limit: float) -> object:
            return client.post(url, cast_to=object, body={"content": text}, options={"timeout": limit})

        answer = self._server.ask(request)
        tokens = answer.get("tokens") if isinstance(answer, dict) else None
        if not isinstance(tokens, list):
            raise self._server.unexpected("/tokenize gave no list of tokens")
        return len(tokens)

    def _complete_one(self, index: int, prompt: Sequence[Message], asked: _Asked) -> list[Completion]:
        import openai

        def request(client: openai.OpenAI, limit: float) -> tuple[dict[int, _Choice], CompletionUsage | None]:
            try:
                return self._chat(client, limit, index, prompt, asked)
            except openai.BadRequestError as error:
                # Azure refuses a filtered prompt as a whole.
                if error.code != "content_filter":
                    raise
                return {at: _Choice(finish="content_filter") for at in range(asked.n)}, None

        choices, usage = self._server.ask(request)
        if sorted(choices) != list(range(asked.n)):
            raise self._server.unexpected(f"it gave {len(choices)} completions where n = {asked.n}")
        spent = Usage(usage.prompt_tokens or 0, usage.completion_tokens or 0) if usage else Usage()
        return [self._completion(choices[at], asked, spent if at == 0 else Usage()) for at in range(asked.n)]

    def _completion(self, choice: _Choice, asked: _Asked, usage: Usage) -> Completion:
        finish = _FINISH.get(choice.finish or "", "stop")
        if asked.logprobs and choice.logprobs is None and finish != "filter":
            raise HookragError(f"{self._server.where} gives no logprobs: leave them out or use another server")
        logprobs = tuple(choice.logprobs or ()) if asked.logprobs else None
        return Completion("".join(choice.pieces), finish, usage, logprobs)

    def _chat(
        self, client: openai.OpenAI, limit: float, index: int, prompt: Sequence[Message], asked: _Asked
    ) -> tuple[dict[int, _Choice], CompletionUsage | None]:
        body = self._body(prompt, asked)
        if asked.emit is not None:
            return self._stream(client, limit, index, body, asked.emit)
        from openai.types.chat import ChatCompletion

        answer: object = client.post("/chat/completions", cast_to=ChatCompletion, body=body, options={"timeout": limit})
        if not isinstance(answer, ChatCompletion) or not answer.choices:
            raise self._server.unexpected("there is no completion in the answer")
        choices: dict[int, _Choice] = {}
        for choice in answer.choices:
            made = choices.setdefault(choice.index, _Choice())
            message = choice.message
            made.add(message.content or message.refusal, choice.finish_reason, choice.logprobs)
            if message.refusal and not message.content:
                made.finish = "content_filter"
        return choices, answer.usage

    def _stream(
        self,
        client: openai.OpenAI,
        limit: float,
        index: int,
        body: Mapping[str, Any],
        emit: Callable[[int, str], None],
    ) -> tuple[dict[int, _Choice], CompletionUsage | None]:
        import openai
        from openai.types.chat import ChatCompletionChunk

        choices: dict[int, _Choice] = {}
        usage: CompletionUsage | None = None
        passed_on = 0
        with client.post(
            "/chat/completions",
            cast_to=ChatCompletionChunk,
            body={**body, "stream": True, "stream_options": {"include_usage": True}},
            options={"timeout": limit},
            stream=True,
            stream_cls=openai.Stream[ChatCompletionChunk],
        ) as stream:
            try:
                for chunk in stream:
                    if time_left() == 0:
                        raise DeadlineExceeded(
                            f"the deadline passed while {self._server.where} was answering: give more time"
                        )
                    usage = chunk.usage or usage
                    for choice in chunk.choices or ():
                        made = choices.setdefault(choice.index, _Choice())
                        text = choice.delta.content if choice.delta else None
                        made.add(text, choice.finish_reason, choice.logprobs)
                        if text and choice.index == 0:
                            passed_on += len(text)
                            emit(index, text)
                broke = any(choice.finish is None for choice in choices.values())
            except openai.APIConnectionError:
                if not passed_on or time_left() == 0:
                    raise
                broke = True
        if broke and passed_on:
            raise HookragError(
                f"{self._server.where} broke the stream off after {passed_on} characters, which were passed on "
                f"already: ask again, or without streaming"
            )
        if broke or not choices:
            raise self._server.unexpected("the stream ended before a completion did")
        return choices, usage

    def _body(self, prompt: Sequence[Message], asked: _Asked) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": message.role, "content": message.content} for message in prompt],
        }
        if self._send_temperature:
            body["temperature"] = asked.temperature
        if asked.n != 1:
            body["n"] = asked.n
        if asked.max_tokens is not None:
            body["max_completion_tokens" if self._new_limit else "max_tokens"] = asked.max_tokens
        if asked.stop:
            body["stop"] = list(asked.stop)
        if asked.seed is not None:
            body["seed"] = asked.seed
        if asked.logprobs:
            body["logprobs"] = True
        if asked.schema is not None:
            wanted = {"name": "answer", "schema": dict(asked.schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": wanted}
        return body
