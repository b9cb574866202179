"""Whole turns with ChatOpenAI and OpenAIEmbeddings over real HTTP, against a server on loopback."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest
from langchain_core.messages import AIMessageChunk, convert_to_messages
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import SecretStr

from langchain_hybrid_memory import ExtractConfig, HybridMemory
from langchain_hybrid_memory.hybrid_memory import open_store
from tests.doubles.extractor import extract_by_rules
from tests.doubles.life import SECONDS, close, configured, middleware_agent
from tests.doubles.openai_answers import Answer, Failed, HungUp, Tool, rate_limited
from tests.doubles.openai_stub import CHAT, EMBEDDINGS, OpenAIStub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.doubles.doors import Door
    from tests.doubles.openai_answers import Scripted
    from tests.doubles.openai_wire import Body

KEY = SecretStr("stub")


def think(body: Body) -> Scripted:
    """Extract by rule where structured output is asked for, else chat."""
    if "response_format" in body or "tool_choice" in body:
        return extract_by_rules(convert_to_messages(body["messages"]), {})
    return "Good to know, thank you."


@pytest.fixture
def stub(openai_stub: OpenAIStub) -> OpenAIStub:
    openai_stub.brain = think
    return openai_stub


@pytest.fixture
def model(stub: OpenAIStub) -> ChatOpenAI:
    return ChatOpenAI(model="stub", base_url=stub.base_url, api_key=KEY, max_retries=1, stream_usage=True)


@pytest.fixture
async def memory(tmp_path: Path, call: Door, stub: OpenAIStub, model: ChatOpenAI) -> AsyncIterator[HybridMemory]:
    """A memory whose model and embedding are behind HTTP."""
    embedding = OpenAIEmbeddings(
        model="stub", base_url=stub.base_url, api_key=KEY, max_retries=1, check_embedding_ctx_length=False
    )
    with open_store(tmp_path, embedding=embedding) as store:
        memory = HybridMemory(model, store=store, checkpointer=InMemorySaver())
        yield memory
        await close(memory, call.mode)


def asks_for_structure(body: Body) -> bool:
    return "response_format" in body


async def say(call: Door, agent: Any, text: str, thread: str = "first") -> str:
    result = await call(agent, "invoke", {"messages": [("user", text)]}, configured("alex", thread))
    answer: str = result["messages"][-1].text
    return answer


async def known(call: Door, memory: HybridMemory) -> list[str]:
    return sorted(fact.value for fact in await call(memory.for_user("alex"), "facts"))


async def test_streamed_turn_is_learned_and_recalled(
    call: Door, memory: HybridMemory, model: ChatOpenAI, stub: OpenAIStub
) -> None:
    agent = memory.graph(model)
    asked = {"messages": [("user", "I live in Lisbon.")]}
    stream = await call.collect(agent, "stream", asked, configured("alex", "first"), stream_mode="messages")
    chunks = [chunk.text for chunk, _ in stream if isinstance(chunk, AIMessageChunk) and chunk.text]
    assert chunks == ["Good", " to", " know,", " thank", " you."]
    assert (await call(memory, "flush", SECONDS)).pending == 0
    assert await known(call, memory) == ["Lisbon"]
    await say(call, agent, "Where do I live?", "second")
    shown = [request.body for request in stub.requests_to(CHAT) if not asks_for_structure(request.body)][-1]
    assert "lives in Lisbon" in shown["messages"][-1]["content"]
    assert stub.requests_to(EMBEDDINGS)


async def test_facts_are_asked_for_by_json_schema_and_not_streamed(
    call: Door, memory: HybridMemory, model: ChatOpenAI, stub: OpenAIStub
) -> None:
    await say(call, memory.graph(model), "I live in Lisbon.")
    status = await call(memory, "flush", SECONDS)
    (extraction,) = [request.body for request in stub.requests_to(CHAT) if asks_for_structure(request.body)]
    assert extraction["response_format"]["type"] == "json_schema"
    assert not extraction.get("stream")
    assert (status.calls, status.prompt_tokens > 0, status.completion_tokens > 0) == (1, True, True)


async def test_facts_may_be_asked_for_by_tool_call(
    tmp_path: Path, call: Door, model: ChatOpenAI, stub: OpenAIStub
) -> None:
    embedding = OpenAIEmbeddings(model="stub", base_url=stub.base_url, api_key=KEY, check_embedding_ctx_length=False)
    extract = ExtractConfig(method="function_calling")
    with open_store(tmp_path, embedding=embedding) as store:
        memory = HybridMemory(model, store=store, extract=extract)
        await say(call, memory.graph(model), "I live in Lisbon.")
        await call(memory, "flush", SECONDS)
        assert await known(call, memory) == ["Lisbon"]
    assert stub.requests_to(CHAT)[-1].body["tool_choice"]["function"]["name"] == "Extraction"


async def test_tools_of_an_agent_are_called(
    call: Door, memory: HybridMemory, model: ChatOpenAI, stub: OpenAIStub
) -> None:
    @tool
    def weather(city: str) -> str:
        """Tell the weather."""
        return f"It rains in {city}."

    cities = ("Lisbon", "Porto")
    stub.chat += [Answer(tools=tuple(Tool("weather", {"city": city}) for city in cities)), "Rain."]
    agent = middleware_agent(memory, model, tools=[weather])  # type: ignore[arg-type]  # any chat model will do
    assert await say(call, agent, "I prefer tea. Will it rain?") == "Rain."
    sent = stub.requests_to(CHAT)[1].body["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "tool"]
    await call(memory, "flush", SECONDS)
    assert await known(call, memory) == ["tea"]


async def test_rate_limit_is_waited_out(call: Door, memory: HybridMemory, model: ChatOpenAI, stub: OpenAIStub) -> None:
    stub.chat += ["Hello.", rate_limited()]
    assert await say(call, memory.graph(model), "I live in Lisbon.") == "Hello."
    status = await call(memory, "flush", SECONDS)
    assert (status.pending, status.last_error) == (0, None)
    assert await known(call, memory) == ["Lisbon"]


async def test_rate_limit_that_stays_leaves_the_episode_pending(
    call: Door, memory: HybridMemory, model: ChatOpenAI, stub: OpenAIStub
) -> None:
    stub.chat += ["Hello.", rate_limited(), rate_limited()]
    assert await say(call, memory.graph(model), "I live in Lisbon.") == "Hello."
    await close(memory, call.mode)
    status = await call(memory, "status")
    assert (status.pending, status.failed) == (1, 1)
    assert status.last_error.endswith("RateLimitError (status 429)")
    assert (await call(memory, "flush", SECONDS)).pending == 0
    assert await known(call, memory) == ["Lisbon"]


@pytest.mark.parametrize(
    "broken",
    ['{"facts": [{"message": 1, "quote"', Answer('{"facts": [', finish_reason="length"), Answer(refusal="No.")],
)
async def test_answer_that_is_no_json_is_repaired(
    call: Door, memory: HybridMemory, model: ChatOpenAI, stub: OpenAIStub, broken: Any
) -> None:
    stub.chat += ["Hello.", broken]
    await say(call, memory.graph(model), "I live in Lisbon.")
    status = await call(memory, "flush", SECONDS)
    assert (status.pending, status.last_error) == (0, None)
    assert await known(call, memory) == ["Lisbon"]
    repair = json.dumps(stub.requests_to(CHAT)[-1].body["messages"])
    assert "Your answer could not be used" in repair


async def test_failing_turn_raises_the_providers_error_and_loses_nothing(
    call: Door, memory: HybridMemory, model: ChatOpenAI, stub: OpenAIStub
) -> None:
    agent = memory.graph(model)
    stub.chat += [rate_limited(), rate_limited()]
    with pytest.raises(openai.RateLimitError):
        await say(call, agent, "I live in Lisbon.")
    await say(call, agent, "I prefer tea.")
    await call(memory, "flush", SECONDS)
    assert await known(call, memory) == ["Lisbon", "tea"]


async def test_embedding_that_is_down_for_a_moment_is_waited_out(
    call: Door, memory: HybridMemory, model: ChatOpenAI, stub: OpenAIStub
) -> None:
    stub.embeddings.append(rate_limited())
    await say(call, memory.graph(model), "I live in Lisbon.")
    assert (await call(memory, "flush", SECONDS)).pending == 0
    assert await known(call, memory) == ["Lisbon"]


@pytest.mark.parametrize(
    ("failed", "error"),
    [
        ([Failed(503)] * 2, "(status 503)"),
        ([HungUp()] * 2, "ConnectionError"),
        ([Answer(refusal="No.")] * 2, "ExtractionError"),
        ([""] * 2, "ExtractionError"),
        (['{"facts": 3}'] * 2, "ExtractionError"),
    ],
    ids=["5xx", "hung up", "refusal", "empty reply", "wrong schema"],
)
async def test_failure_spares_the_reply_and_is_made_up_for(
    call: Door, memory: HybridMemory, model: ChatOpenAI, stub: OpenAIStub, failed: list[Any], error: str
) -> None:
    stub.chat += ["Hello.", *failed]
    assert await say(call, memory.graph(model), "I live in Lisbon.") == "Hello."
    await close(memory, call.mode)
    status = await call(memory, "status")
    assert (status.pending, status.failed) == (1, 1)
    assert error in status.last_error
    assert (await call(memory, "flush", SECONDS)).pending == 0
    assert await known(call, memory) == ["Lisbon"]


async def test_empty_list_is_success(call: Door, memory: HybridMemory, model: ChatOpenAI, stub: OpenAIStub) -> None:
    stub.chat += ["Hello.", {"facts": [], "entities": []}]
    await say(call, memory.graph(model), "I live in Lisbon.")
    status = await call(memory, "flush", SECONDS)
    assert (status.pending, status.last_error, status.calls) == (0, None, 1)
    assert await known(call, memory) == []


async def test_ten_thousand_facts_and_neighbors_that_do_not_exist_do_no_harm(
    call: Door, memory: HybridMemory, model: ChatOpenAI, stub: OpenAIStub
) -> None:
    fact = {
        "message": 1,
        "quote": "I live in Lisbon",
        "subject": "user",
        "attribute": "other",
        "fact": "The user lives in Lisbon.",
        "since": None,
        "importance": 2,
        "confirms": [99],
        "supersedes": [-1, 0, 12_345],
    }
    many = [{**fact, "value": f"value {number}", "fact": f"The user is number {number}."} for number in range(10_000)]
    stub.chat += ["Hello.", {"facts": many, "entities": []}]
    await say(call, memory.graph(model), "I live in Lisbon.")
    status = await call(memory, "flush", SECONDS)
    assert (status.pending, status.last_error) == (0, None)
    limit = ExtractConfig().max_facts
    assert (len(await known(call, memory)), status.rejected) == (limit, 10_000 - limit)
