"""Any OpenAI-compatible server as a backend: DashScope, vLLM, SGLang and the like, through the `openai` client.

All requests of a backend run on one event loop in a thread of its own, so that a cancellation closes the connection
at once, whatever the server is doing. A bounded number of events waits for a slow reader; then the server's stream
is simply not read on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from multimodal.errors import PromptError
from reasoning.backend import Done, Event, Options
from reasoning.boxes import Sight
from reasoning.errors import BackendError, BackendGarbled, BackendRefused
from reasoning.messages import Message, checked, to_openai
from reasoning.openai_stream import StreamReader, explain, first_line, retry_after_sec, worth_retrying
from reasoning.profiles import Delimiters, Profile, Profiles, Server, load_profiles

WAITING_EVENTS = 256
# Of Qwen2.5-VL: what servers resize to by themselves lies within these, at most 1,280 tokens a picture.
PICTURE_FACTOR = 28
LEAST_PIXELS, MOST_PIXELS = 4 * PICTURE_FACTOR**2, 1280 * PICTURE_FACTOR**2


@dataclass(frozen=True)
class Remote:
    """Where and how patiently to ask. model: the server's name of it. api_key: "" where the server wants none.

    tries: in all, and never once the answer has begun. patience_sec: longest wait that a server may ask for before a
    retry. first_event_sec, next_event_sec: longest silence before and within an answer.
    """

    model: str
    base_url: str
    api_key: str = field(default="", repr=False)
    tries: int = 3
    backoff_sec: float = 0.5
    patience_sec: float = 30.0
    connect_sec: float = 10.0
    first_event_sec: float = 120.0
    next_event_sec: float = 60.0
    splits_reasoning: bool = False
    continues: bool = False
    continue_body: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.model or not self.base_url.startswith(("http://", "https://")):
            raise BackendRefused(
                "a remote backend needs a model name and a base URL that begins with http:// or https://"
            )
        if not 1 <= self.tries <= 3:
            raise ValueError(f"tries {self.tries}: wants 1 to 3")

    @classmethod
    def of_preset(
        cls, server: Server, model: str, base_url: str = "", environ: Mapping[str, str] | None = None
    ) -> Remote:
        """A server of the table, perhaps at another address; the key comes from the environment, never from a file."""
        environ = os.environ if environ is None else environ
        if lack := server.lacks_key(environ):
            raise BackendRefused(lack)
        key = environ.get(server.key_env, "") if server.key_env else ""
        return cls(
            model=model,
            base_url=base_url or server.base_url,
            api_key=key,
            splits_reasoning=server.splits_reasoning,
            continues=server.continues,
            continue_body=server.continue_body,
        )


class OpenAiBackend:
    """Streams answers of one model of one server. `close` ends its thread; requests still running are cancelled."""

    def __init__(
        self, remote: Remote, profile: Profile, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self.remote = remote
        self.profile = profile
        self._sleep = sleep
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: Any = None

    @classmethod
    def preset(cls, model: str, server: str, base_url: str = "", profiles: Profiles | None = None) -> OpenAiBackend:
        """A model by its remote name on a server of the table, such as ("qwen-max", "dashscope")."""
        table = profiles or load_profiles()
        return cls(Remote.of_preset(table.server(server), model, base_url), table.of_remote(model))

    @property
    def name(self) -> str:
        return self.remote.model

    @property
    def sees(self) -> bool:
        return self.profile.sees

    @property
    def sight(self) -> Sight | None:
        """Pictures are sent in sizes that the servers' own resize leaves as they are."""
        coordinates = self.profile.coordinates
        if not self.sees or coordinates == "none":
            return None
        return Sight(coordinates, PICTURE_FACTOR, LEAST_PIXELS, MOST_PIXELS)

    @property
    def continues(self) -> bool:
        return self.remote.continues

    def stream(self, messages: Sequence[Message], options: Options) -> Iterator[Event]:
        """See `reasoning.backend.Backend`. Nothing is sent before the iterator is first read."""
        kept = checked(messages, sees=self.sees, single_turn=self.profile.single_turn)
        if self.profile.system_prompt and not any(message.role == "system" for message in kept):
            kept = [Message("system", (self.profile.system_prompt,)), *kept]
        body = self._sampling(options)
        if options.tools and self.profile.tools:
            body["tools"] = [tool.as_json() for tool in options.tools]
        if options.schema is not None:
            body["response_format"] = options.schema.response_format()
        extra: dict[str, Any] = {}
        if self.profile.reasoning.switch and options.think is not None:
            extra = {self.profile.reasoning.switch: options.think}
            if self.remote.continues:  # self-served: a variable of the chat template
                extra = {"chat_template_kwargs": extra}
        if kept[-1].role == "assistant":
            if not self.remote.continues:
                raise PromptError(f"{self.name} cannot go on with a reply: end the conversation with a question")
            extra |= dict(self.remote.continue_body)
        body["messages"] = [to_openai(message, self.sight) for message in kept]
        inside = self.profile.reasoning.opened_by_prompt and not self.remote.splits_reasoning
        tools = "tools" in body or any(message.role == "tool" for message in kept)
        reader = StreamReader(self.profile.reasoning, options.stop, self.profile.loop_guard, inside, tools)
        return self._events(lambda client: client.chat.completions.create(**body, extra_body=extra), reader, options)

    def complete(self, prompt: str, options: Options) -> Iterator[Event]:
        """Go on with raw text at the server's completions endpoint, for fill-in-the-middle."""
        body = {**self._sampling(options), "prompt": prompt}
        reader = StreamReader(Delimiters(), options.stop)
        return self._events(lambda client: client.completions.create(**body), reader, options)

    def _sampling(self, options: Options) -> dict[str, Any]:
        rule = self.profile.sampling
        body: dict[str, Any] = {
            "model": self.remote.model,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": options.max_tokens,
        }
        temperature = (
            options.temperature if options.temperature is not None else rule.temperature if rule.do_sample else None
        )
        if temperature == 0 and self.profile.never_greedy:
            temperature = rule.temperature
        if temperature is not None:
            body["temperature"] = temperature
        if options.top_p is not None or rule.top_p < 1:
            body["top_p"] = options.top_p if options.top_p is not None else rule.top_p
        if options.seed is not None:
            body["seed"] = options.seed
        if options.stop:
            body["stop"] = list(options.stop)
        return body

    # --- the loop thread ---

    def _start(self) -> tuple[asyncio.AbstractEventLoop, Any]:
        from openai import AsyncOpenAI

        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name=f"ask {self.name}", daemon=True)
                self._thread.start()
                self._client = AsyncOpenAI(
                    base_url=self.remote.base_url,
                    api_key=self.remote.api_key or "none",
                    max_retries=0,  # tries are counted here
                    timeout=self.remote.first_event_sec + self.remote.connect_sec,
                )
            return self._loop, self._client

    def close(self) -> None:
        with self._lock:
            loop, thread, client = self._loop, self._thread, self._client
            self._loop = self._thread = self._client = None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_shut(client), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()

    def _events(self, create: Callable[[Any], Any], reader: StreamReader, options: Options) -> Iterator[Event]:
        loop, client = self._start()
        told: queue.SimpleQueue[Event | BackendError | None] = queue.SimpleQueue()
        room = asyncio.Semaphore(WAITING_EVENTS)
        begun = False

        async def produce() -> None:
            nonlocal begun
            try:
                async with contextlib.aclosing(self._ask(client, create, reader)) as events:
                    async for event in events:
                        await room.acquire()
                        begun = True
                        told.put(event)
            except BackendError as error:
                told.put(Done("error", truncated=True, error=str(error)) if begun else error)
            except asyncio.CancelledError:
                pass
            finally:
                told.put(None)

        work: Coroutine[Any, Any, None] = produce()
        future = asyncio.run_coroutine_threadsafe(work, loop)

        def stop() -> None:
            future.cancel()
            told.put(None)

        options.cancellation.on_cancel(stop)
        ended = False
        try:
            while (event := told.get()) is not None and not options.cancellation.cancelled:
                if isinstance(event, BackendError):
                    raise event
                ended = isinstance(event, Done)
                yield event
                if ended:
                    return
                loop.call_soon_threadsafe(room.release)
            if options.cancellation.cancelled:
                yield Done("cancelled", truncated=True)
            else:
                yield Done("error", truncated=True, error=f"{self.name} was closed while it answered")
        finally:
            if not ended:  # otherwise the connection is being handed back for the next request
                future.cancel()

    async def _ask(
        self, client: Any, create: Callable[[Any], Any], reader: StreamReader
    ) -> AsyncGenerator[Event, None]:
        """Tries until an answer begins; then whatever happens ends it, and nothing is asked twice."""
        for left in reversed(range(self.remote.tries)):
            try:
                async with asyncio.timeout(self.remote.first_event_sec):
                    stream = await create(client)
                    first = await _next(stream)
                break
            except Exception as error:
                wait_sec = retry_after_sec(error)
                failure = explain(error, self.name)
                if not left or not worth_retrying(error) or (wait_sec or 0) > self.remote.patience_sec:
                    raise failure from error
                await self._sleep(
                    self.remote.backoff_sec * 2 ** (self.remote.tries - 1 - left) if wait_sec is None else wait_sec
                )
        else:
            raise AssertionError("the last try raises")
        try:
            chunk = first
            while chunk is not None:
                for event in reader.read(chunk):
                    yield event
                if reader.ended_early:
                    break
                async with asyncio.timeout(self.remote.next_event_sec):
                    chunk = await _next(stream)
            for event in reader.finish():
                yield event
        except Exception as error:
            if reader.empty:  # not a word has come: another backend can take over
                raise explain(error, self.name) from error
            for event in reader.finish(broken=first_line(explain(error, self.name))):
                yield event
        finally:
            await stream.close()


async def _next(stream: Any) -> Any | None:
    """The stream's next chunk; None at its end. A body that is no stream is an error: some gateways send a page."""
    if not hasattr(stream, "response"):
        raise BackendGarbled(
            "the server did not answer with a stream: check that the base URL ends in /v1 or as documented"
        )
    kind = stream.response.headers.get("content-type", "")
    if "event-stream" not in kind:
        raise BackendGarbled(
            f"the server answered with {kind or 'an unnamed format'} instead of a stream: check the base URL"
        )
    return await anext(aiter(stream), None)


async def _shut(client: Any) -> None:
    running = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await client.close()
    await asyncio.get_running_loop().shutdown_asyncgens()
