"""Counts model calls and prompt tokens a turn, ours beside mem0's and LangMem's: one conversation, one stub server."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from langchain_openai import ChatOpenAI
from langgraph.store.memory import InMemoryStore

from langchain_hybrid_memory import HybridMemory, MemorizeConfig
from langchain_hybrid_memory.budget import approximate_tokens
from langchain_hybrid_memory.hybrid_memory import open_store
from tests.doubles.embedding import WordEmbedding
from tests.doubles.extractor import extract_by_rules
from tests.doubles.openai_answers import Answer, Tool
from tests.doubles.openai_stub import CHAT, OpenAIStub
from tests.doubles.openai_wire import Body

REPLY = "I see, tell me more about that when you like."
SAID = "I prefer drink {turn:03}, as I told my neighbour when we met at the market on the square last Saturday morning."
BURST = 6
"""Turns that come within a moment, before the person is quiet for a while."""

Turn = Callable[[str], None]
"""Takes what a person said in a turn through one system's memory."""


@dataclass
class Calls:
    """What a system asked the stub server for memory; answers to the user are not among it."""

    turns: int = 0
    prompts: list[int] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)

    def row(self) -> dict[str, float]:
        """Calls and prompt tokens a turn, the tokens of the longest prompt, and how long a turn is held up."""
        return {
            "calls_per_turn": len(self.prompts) / self.turns,
            "prompt_tokens_per_turn": sum(self.prompts) / self.turns,
            "prompt_tokens_max": float(max(self.prompts, default=0)),
            "blocking_ms_p50": statistics.median(self.milliseconds),
        }


@dataclass
class _Said:
    """A message as the scripted extractor reads it."""

    text: str


def tokens(body: Body) -> int:
    """The tokens of a request: its messages, and the schema of what it wants back."""
    texts = [str(message.get("content") or message.get("tool_calls")) for message in body["messages"]]
    schema = body.get("tools") or body.get("response_format")
    return approximate_tokens("\n".join(texts)) + (approximate_tokens(json.dumps(schema)) if schema else 0)


def brain(body: Body) -> Any:
    """Answer each system in its own form, with the one fact a turn holds."""
    said = body["messages"][-1]["content"] or ""
    if "response_format" in body and "Known facts:" in str(said):
        messages: Any = [_Said(str(message["content"])) for message in body["messages"]]
        return extract_by_rules(messages, {})
    fact = f"The user prefers another drink, as of message {len(str(body))}."
    names = [tool["function"]["name"] for tool in body.get("tools") or ()]
    if "Memory" in names:
        return Answer(tools=(Tool("Memory", {"content": fact}),))
    return json.dumps({"memory": [{"id": "0", "text": fact, "attributed_to": "user"}]})


def chat_model(stub: OpenAIStub) -> ChatOpenAI:
    return ChatOpenAI(model="stub", base_url=stub.base_url, api_key="stub", max_retries=0)  # type: ignore[arg-type]


@contextmanager
def ours(stub: OpenAIStub, folder: Path) -> Iterator[Turn]:
    """Record in the foreground, learn in the background, in batches."""
    with open_store(folder / "ours", embedding=WordEmbedding()) as store:
        config = MemorizeConfig(after_turns=BURST, after_seconds=0.5)
        with HybridMemory(chat_model(stub), store=store, memorize=config) as memory:
            alex = memory.for_user("alex")

            def turn(text: str) -> None:
                alex.recall(text)
                alex.record([("user", text), ("assistant", REPLY)], thread_id="first")

            yield turn
            memory.flush()


@contextmanager
def ours_each_turn(stub: OpenAIStub, folder: Path) -> Iterator[Turn]:
    """The same, extracting after each turn."""
    with open_store(folder / "each", embedding=WordEmbedding()) as store:
        config = MemorizeConfig(after_turns=1)
        with HybridMemory(chat_model(stub), store=store, memorize=config, extraction="inline") as memory:
            alex = memory.for_user("alex")

            def turn(text: str) -> None:
                alex.recall(text)
                alex.record([("user", text), ("assistant", REPLY)], thread_id="first")

            yield turn


@contextmanager
def langmem(stub: OpenAIStub, _: Path) -> Iterator[Turn]:
    """LangMem's store manager, called after each turn as its documentation shows."""
    from langmem import create_memory_store_manager

    embedding = WordEmbedding()
    store = InMemoryStore(index={"embed": embedding, "dims": embedding.dimensions, "fields": ["content"]})
    manager = create_memory_store_manager(chat_model(stub), namespace=("memories", "{langgraph_user_id}"), store=store)
    config: Any = {"configurable": {"langgraph_user_id": "alex"}}

    def turn(text: str) -> None:
        said = [{"role": "user", "content": text}, {"role": "assistant", "content": REPLY}]
        manager.invoke({"messages": said}, config)

    yield turn


@contextmanager
def mem0(stub: OpenAIStub, folder: Path) -> Iterator[Turn]:
    """mem0's `search` and `add`, as its documentation shows."""
    os.environ |= {"MEM0_TELEMETRY": "False", "MEM0_DIR": str(folder / "mem0"), "OPENAI_API_KEY": "stub"}
    from mem0 import Memory

    embedding = WordEmbedding()
    place = {"path": str(folder / "qdrant"), "collection_name": "m", "embedding_model_dims": embedding.dimensions}
    memory = Memory.from_config(
        {
            "vector_store": {"provider": "qdrant", "config": {**place, "on_disk": True}},
            "embedder": {"provider": "langchain", "config": {"model": embedding}},
            "llm": {"provider": "openai", "config": {"model": "stub", "openai_base_url": stub.base_url}},
            "history_db_path": str(folder / "history.db"),
        }
    )

    def turn(text: str) -> None:
        memory.search(text, filters={"user_id": "alex"})
        memory.add([{"role": "user", "content": text}, {"role": "assistant", "content": REPLY}], user_id="alex")

    yield turn


SYSTEMS: dict[str, Any] = {
    f"ours, bursts of {BURST}": ours,
    "ours, after each turn": ours_each_turn,
    "LangMem store manager": langmem,
    "mem0 search + add": mem0,
}
NEEDS = {"LangMem store manager": "langmem", "mem0 search + add": "mem0"}


def missing(name: str) -> str | None:
    """The package a system needs and this environment lacks."""
    package = NEEDS.get(name)
    return package if package and find_spec(package) is None else None


def count(name: str, *, turns: int) -> Calls:
    """Take one system through the conversation."""
    with OpenAIStub(brain) as stub, tempfile.TemporaryDirectory() as folder:
        calls = Calls(turns=turns)
        with SYSTEMS[name](stub, Path(folder)) as turn:
            for number, text in enumerate(conversation(turns), 1):
                started = time.perf_counter()
                turn(text)
                calls.milliseconds.append((time.perf_counter() - started) * 1_000)
                if number % BURST == 0 and "bursts" in name:
                    time.sleep(0.2)
        calls.prompts = [tokens(request.body) for request in stub.requests_to(CHAT)]
    return calls


def conversation(turns: int) -> Sequence[str]:
    """What the person says; every system hears the same."""
    return [SAID.format(turn=turn) for turn in range(turns)]
