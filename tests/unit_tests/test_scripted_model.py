"""The scripted chat model behaves as LangChain's own models do where the library can tell the difference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, ToolCall
from pydantic import BaseModel, Field

from tests.doubles.scripted import Break, Fault, Method, ScriptedChatModel, ScriptExhaustedError
from tests.doubles.wording import reword_fields, reword_sentence

if TYPE_CHECKING:
    from tests.doubles.doors import Door


class Listener(BaseCallbackHandler):
    """Collects tokens as they come."""

    def __init__(self, seen: list[str]) -> None:
        self.seen = seen

    def on_llm_new_token(self, token: str | list[str | dict[str, Any]], **_: Any) -> None:
        self.seen.append(str(token))


class City(BaseModel):
    """A city."""

    name: str
    quote: str = ""
    sights: list[str] = Field(default_factory=list)


LISBON: dict[str, Any] = {"name": "Lisbon", "quote": "I live in Lisbon", "sights": ["Alfama", "Belém"]}
METHODS: list[Method] = ["json_schema", "function_calling", "json_mode"]
every_method = pytest.mark.parametrize("method", METHODS)


async def ask(call: Door, model: ScriptedChatModel, method: Method = "json_schema") -> dict[str, Any]:
    """Ask for a city with `include_raw`."""
    answer: dict[str, Any] = await call(
        model.with_structured_output(City, include_raw=True, method=method), "invoke", "?"
    )
    return answer


async def test_list_of_replies_is_used_in_order_and_then_missed(call: Door) -> None:
    model = ScriptedChatModel(replies=["one", "two"])
    assert [(await call(model, "invoke", "hi")).text for _ in range(2)] == ["one", "two"]
    with pytest.raises(ScriptExhaustedError, match="chat call 2"):
        await call(model, "invoke", "hi")


async def test_tokens_are_streamed_one_by_one_and_add_up(call: Door) -> None:
    model = ScriptedChatModel(replies=lambda messages: f"I  heard:\n{messages[-1].text} ")
    chunks = await call.collect(model, "stream", "hello there")
    assert len([chunk for chunk in chunks if chunk.text]) > 3
    assert "".join(chunk.text for chunk in chunks) == "I  heard:\nhello there "
    assert model.calls[0].streamed


async def test_usage_is_the_same_streamed_and_whole(call: Door) -> None:
    model = ScriptedChatModel()
    whole = await call(model, "invoke", "hello there")
    chunks: list[AIMessageChunk] = await call.collect(model, "stream", "hello there")
    assert whole.usage_metadata == {"input_tokens": 2, "output_tokens": 4, "total_tokens": 6}
    assert [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata] == [whole.usage_metadata]
    assert model.calls[0].usage == whole.usage_metadata


async def test_tool_call_is_streamed_and_recorded(call: Door) -> None:
    reply = AIMessage("", tool_calls=[ToolCall(name="City", args={"name": "Lisbon"}, id="call_1")])
    model = ScriptedChatModel(replies=[reply])
    first, *rest = await call.collect(model.bind_tools([City]), "stream", "where?")
    message = sum(rest, start=first)
    assert [(tool["name"], tool["args"]) for tool in message.tool_calls] == [("City", {"name": "Lisbon"})]
    assert model.calls[0].tools == ("City",)


@every_method
async def test_structured_answer_is_parsed_beside_its_raw_message(call: Door, method: Method) -> None:
    answer = await ask(call, ScriptedChatModel(structured=[LISBON]), method)
    assert answer == {"raw": answer["raw"], "parsed": City(**LISBON), "parsing_error": None}
    assert isinstance(answer["raw"], AIMessage)


async def test_structured_output_agrees_with_langchains_own(call: Door) -> None:
    """`BaseChatModel.with_structured_output` is what a model without its own gets; ours must give the same."""
    tool_calls = [ToolCall(name="City", args=LISBON, id="call_1")]
    wrong = [ToolCall(name="City", args={"sights": 3}, id="call_1")]
    generic = ScriptedChatModel(replies=[AIMessage("", tool_calls=calls) for calls in (tool_calls, wrong, [])])
    theirs = BaseChatModel.with_structured_output(generic, City, include_raw=True)
    ours = ScriptedChatModel(structured=[LISBON, {"sights": 3}, ""])
    for _ in range(3):
        expected, answer = await call(theirs, "invoke", "?"), await ask(call, ours, "function_calling")
        assert answer.keys() == expected.keys()
        assert answer["parsed"] == expected["parsed"]
        assert type(answer["parsing_error"]) is type(expected["parsing_error"])


@pytest.mark.parametrize("fault", [Fault.MALFORMED, Fault.EMPTY])
async def test_broken_json_is_a_parsing_error(call: Door, fault: Fault) -> None:
    answer = await ask(call, ScriptedChatModel(structured=[LISBON], failures={("structured", 0): fault}))
    assert answer["parsed"] is None
    assert isinstance(answer["parsing_error"], OutputParserException)


async def test_truncated_json_passes_as_a_shorter_answer(call: Door) -> None:
    """LangChain closes open brackets, so only `finish_reason` tells; extraction must look at it."""
    answer = await ask(call, ScriptedChatModel(structured=[LISBON], failures={("structured", 0): Fault.TRUNCATED}))
    assert answer["parsing_error"] is None
    assert answer["parsed"].sights != LISBON["sights"]
    assert answer["raw"].response_metadata["finish_reason"] == "length"


@pytest.mark.parametrize("fault", list(Fault))
async def test_broken_tool_call_is_neither_parsed_nor_an_error(call: Door, fault: Fault) -> None:
    """As with ChatOpenAI: see `test_stub_openai`."""
    model = ScriptedChatModel(structured=[LISBON], failures={("structured", 0): fault})
    answer = await ask(call, model, "function_calling")
    assert (answer["parsed"], answer["parsing_error"]) == (None, None)


async def test_failure_hits_the_chosen_call_only(call: Door) -> None:
    model = ScriptedChatModel(structured=[LISBON, LISBON], failures={("structured", 1): TimeoutError("late")})
    await call(model, "invoke", "hi")
    await ask(call, model)
    with pytest.raises(TimeoutError, match="late"):
        await ask(call, model)
    assert [(made.kind, made.number, made.usage is None) for made in model.calls] == [
        ("chat", 0, False),
        ("structured", 0, False),
        ("structured", 1, True),
    ]


async def test_stream_breaks_after_the_chosen_token(call: Door) -> None:
    model = ScriptedChatModel(replies=["one two three"], failures={("chat", 0): Break(ConnectionError("gone"), 2)})
    seen: list[str] = []
    with pytest.raises(ConnectionError, match="gone"):
        await call.collect(model, "stream", "hi", {"callbacks": [Listener(seen)]})
    assert seen == ["one", " two"]


async def test_wording_differs_on_every_call_while_quotes_stay(call: Door) -> None:
    model = ScriptedChatModel(structured=lambda *_: LISBON, reword=reword_fields("name"))
    cities = [(await ask(call, model))["parsed"] for _ in range(10)]
    assert len({city.name for city in cities}) == 10
    assert {city.quote for city in cities} == {LISBON["quote"]}
    again = ScriptedChatModel(structured=lambda *_: LISBON, reword=reword_fields("name"))
    assert (await ask(call, again))["parsed"] == cities[0]


def test_sentences_have_thirty_five_wordings() -> None:
    assert len({reword_sentence("Alex lives in Lisbon.", number) for number in range(35)}) == 35
