"""ChatOpenAI and OpenAIEmbeddings over real HTTP: proves the stub, and pins what the library must expect of them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Literal, cast

import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_openai.chat_models.base import OpenAIRefusalError
from pydantic import BaseModel, Field, SecretStr, ValidationError

from tests.doubles.openai_answers import Answer, Failed, HungUp, Raw, Tool, rate_limited
from tests.doubles.openai_stub import CHAT, EMBEDDINGS, OpenAIStub

if TYPE_CHECKING:
    from tests.doubles.doors import Door

KEY = SecretStr("stub")
WHOLE = '{"name": "Lisbon", "sights": ["Alfama"]}'
HALF = '{"name": "Lisbon", "sights": ["Alf'
WRONG = '{"name": "Lisbon", "sights" ["Alfama"]}'


class City(BaseModel):
    """A city."""

    name: str
    sights: list[str] = Field(default_factory=list)


@pytest.fixture
def model(openai_stub: OpenAIStub) -> ChatOpenAI:
    return ChatOpenAI(model="stub", base_url=openai_stub.base_url, api_key=KEY, max_retries=1, stream_usage=True)


@pytest.fixture
def embeddings(openai_stub: OpenAIStub) -> OpenAIEmbeddings:
    return OpenAIEmbeddings(
        model="stub", base_url=openai_stub.base_url, api_key=KEY, max_retries=1, check_embedding_ctx_length=False
    )


Method = Literal["json_schema", "function_calling"]
every_method = pytest.mark.parametrize("method", ["json_schema", "function_calling"])


async def ask(call: Door, model: ChatOpenAI, method: Method) -> dict[str, Any]:
    """Ask for a city with `include_raw`."""
    structured = model.with_structured_output(City, include_raw=True, method=method)
    return cast("dict[str, Any]", await call(structured, "invoke", "which city?"))


def worded(text: str, method: Method, **more: Any) -> Answer:
    """Put the same text where the method carries it."""
    return Answer(tools=(Tool("City", text),), **more) if method == "function_calling" else Answer(text, **more)


async def test_answer_and_usage_arrive(call: Door, model: ChatOpenAI, openai_stub: OpenAIStub) -> None:
    answer = await call(model, "invoke", "hello")
    assert answer.text == "You said: hello"
    assert answer.usage_metadata["output_tokens"] == 3
    request = openai_stub.requests_to(CHAT)[0]
    assert request.body["messages"] == [{"role": "user", "content": "hello"}]
    assert request.headers["authorization"] == "Bearer stub"


async def test_stream_comes_in_pieces_with_usage_last(call: Door, model: ChatOpenAI, openai_stub: OpenAIStub) -> None:
    openai_stub.chat.append("one two\nthree")
    chunks = await call.collect(model, "stream", "count")
    assert [chunk.text for chunk in chunks if chunk.text] == ["one", " two", "\nthree"]
    assert sum(bool(chunk.usage_metadata) for chunk in chunks) == 1
    assert openai_stub.requests[0].body["stream_options"] == {"include_usage": True}


async def test_stream_sends_no_usage_unasked(call: Door, openai_stub: OpenAIStub) -> None:
    model = ChatOpenAI(model="stub", base_url=openai_stub.base_url, api_key=KEY, stream_usage=False)
    assert not any(chunk.usage_metadata for chunk in await call.collect(model, "stream", "count"))


async def test_stream_arrives_while_it_is_made(call: Door, model: ChatOpenAI, openai_stub: OpenAIStub) -> None:
    openai_stub.chat.append(Answer("one two three", slow_seconds=0.05))
    started_at = time.monotonic()
    await call.collect(model, "stream", "count")
    assert time.monotonic() - started_at > 0.2


@pytest.mark.parametrize("door", ["invoke", "stream"])
async def test_tool_calls_arrive_and_go_back(
    call: Door, model: ChatOpenAI, openai_stub: OpenAIStub, *, door: str
) -> None:
    openai_stub.chat.append(Answer(tools=(Tool("City", {"name": "Lisbon"}), Tool("City", {"name": "Porto"}))))
    asked = HumanMessage("where?")
    bound = model.bind_tools([City])
    answer: Any = None
    for part in [await call(bound, door, [asked])] if door == "invoke" else await call.collect(bound, door, [asked]):
        answer = part if answer is None else answer + part
    assert [tool["args"] for tool in answer.tool_calls] == [{"name": "Lisbon"}, {"name": "Porto"}]
    results = [ToolMessage("found", tool_call_id=tool["id"]) for tool in answer.tool_calls]
    await call(bound, "invoke", [asked, AIMessage("", tool_calls=answer.tool_calls), *results])
    sent = openai_stub.requests[-1].body["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "tool"]


@every_method
async def test_dict_becomes_structured_output(
    call: Door, model: ChatOpenAI, openai_stub: OpenAIStub, *, method: Method
) -> None:
    openai_stub.chat.append({"name": "Lisbon", "sights": ["Alfama"]})
    answer = await ask(call, model, method)
    assert answer["parsed"] == City(name="Lisbon", sights=["Alfama"])
    assert answer["parsing_error"] is None
    sent = openai_stub.requests[0].body
    assert ("response_format" in sent, "tools" in sent) == (method == "json_schema", method == "function_calling")


async def test_brain_answers_when_the_script_is_empty(call: Door, model: ChatOpenAI, openai_stub: OpenAIStub) -> None:
    openai_stub.brain = lambda body: {"name": body["messages"][0]["content"]}
    assert (await ask(call, model, "json_schema"))["parsed"] == City(name="which city?")


async def test_rate_limit_is_waited_out(call: Door, model: ChatOpenAI, openai_stub: OpenAIStub) -> None:
    openai_stub.chat += [rate_limited(retry_after_seconds=0.05), "hello"]
    assert (await call(model, "invoke", "hi")).text == "hello"
    first, second = openai_stub.requests
    assert 0.05 <= second.arrived_at - first.arrived_at < 0.5


async def test_rate_limit_that_stays_is_raised(call: Door, model: ChatOpenAI, openai_stub: OpenAIStub) -> None:
    openai_stub.chat += [rate_limited(), rate_limited()]
    with pytest.raises(openai.RateLimitError):
        await call(model, "invoke", "hi")


async def test_server_error_is_tried_again(call: Door, model: ChatOpenAI, openai_stub: OpenAIStub) -> None:
    openai_stub.chat += [Failed(headers={"retry-after-ms": "5"}), "hello"]
    assert (await call(model, "invoke", "hi")).text == "hello"


async def test_malformed_body_is_raised_and_not_tried_again(
    call: Door, model: ChatOpenAI, openai_stub: OpenAIStub
) -> None:
    openai_stub.chat.append(Raw())
    with pytest.raises(json.JSONDecodeError):
        await call(model, "invoke", "hi")
    assert len(openai_stub.requests) == 1


async def test_dropped_connection_is_raised(call: Door, openai_stub: OpenAIStub) -> None:
    model = ChatOpenAI(model="stub", base_url=openai_stub.base_url, api_key=KEY, max_retries=0)
    openai_stub.chat.append(HungUp())
    with pytest.raises(openai.APIConnectionError):
        await call(model, "invoke", "hi")


async def test_cut_stream_is_raised_in_the_middle(call: Door, model: ChatOpenAI, openai_stub: OpenAIStub) -> None:
    openai_stub.chat.append(HungUp(after_chunks=3))
    with pytest.raises(openai.APIError):
        await call.collect(model, "stream", "hi")


@pytest.mark.parametrize("text", [WRONG, '{"sights": 3}'])
async def test_json_schema_raises_on_what_does_not_fit(
    call: Door, model: ChatOpenAI, openai_stub: OpenAIStub, *, text: str
) -> None:
    """The client parses inside the call, so `include_raw` does not catch it and the raw text is lost."""
    openai_stub.chat.append(text)
    with pytest.raises(ValidationError):
        await ask(call, model, "json_schema")


async def test_json_schema_raises_on_truncation(call: Door, model: ChatOpenAI, openai_stub: OpenAIStub) -> None:
    openai_stub.chat.append(Answer(HALF, finish_reason="length"))
    with pytest.raises(openai.LengthFinishReasonError):
        await ask(call, model, "json_schema")


async def test_json_schema_reports_a_refusal(call: Door, model: ChatOpenAI, openai_stub: OpenAIStub) -> None:
    openai_stub.chat.append(Answer(refusal="I will not"))
    answer = await ask(call, model, "json_schema")
    assert answer["parsed"] is None
    assert isinstance(answer["parsing_error"], OpenAIRefusalError)


async def test_json_schema_reports_an_empty_answer(call: Door, model: ChatOpenAI, openai_stub: OpenAIStub) -> None:
    openai_stub.chat.append("")
    answer = await ask(call, model, "json_schema")
    assert (answer["parsed"], type(answer["parsing_error"])) == (None, ValueError)


@pytest.mark.parametrize(
    "reply",
    [
        worded(WRONG, "function_calling"),
        worded(HALF, "function_calling", finish_reason="length"),
        Answer(refusal="I will not"),
        Answer(""),
        Answer("Lisbon is nice."),
    ],
    ids=["malformed", "truncated", "refused", "empty", "chatty"],
)
async def test_function_calling_reports_nothing(
    call: Door, model: ChatOpenAI, openai_stub: OpenAIStub, *, reply: Answer
) -> None:
    """Neither parsed nor an error: a caller that looks at `parsing_error` alone loses the answer without a word."""
    openai_stub.chat.append(reply)
    answer = await ask(call, model, "function_calling")
    assert (answer["parsed"], answer["parsing_error"]) == (None, None)


async def test_streamed_function_calling_passes_a_truncated_answer(call: Door, openai_stub: OpenAIStub) -> None:
    """Chunks are joined by a parser that closes brackets, so half an answer looks whole but for `finish_reason`."""
    model = ChatOpenAI(model="stub", base_url=openai_stub.base_url, api_key=KEY, streaming=True)
    openai_stub.chat.append(worded(HALF, "function_calling", finish_reason="length"))
    answer = await ask(call, model, "function_calling")
    assert answer["parsed"] == City(name="Lisbon", sights=["Alf"])
    assert answer["raw"].response_metadata["finish_reason"] == "length"


async def test_embeddings_of_shared_words_are_near(
    call: Door, embeddings: OpenAIEmbeddings, openai_stub: OpenAIStub
) -> None:
    asked = await call(embeddings, "embed_query", "trip to Japan")
    near, far = await call(embeddings, "embed_documents", ["My trip to Japan", "Sarah works at Google"])
    assert sum(map(float.__mul__, asked, near)) > 0.8 > sum(map(float.__mul__, asked, far))
    assert [request.path for request in openai_stub.requests] == [EMBEDDINGS, EMBEDDINGS]
    assert openai_stub.requests[1].body["encoding_format"] == "base64"


async def test_embeddings_come_as_floats_on_request(call: Door, openai_stub: OpenAIStub) -> None:
    as_floats, as_base64 = (
        OpenAIEmbeddings(
            model="stub",
            base_url=openai_stub.base_url,
            api_key=KEY,
            dimensions=64,
            check_embedding_ctx_length=False,
            model_kwargs=extra,
        )
        for extra in ({"encoding_format": "float"}, {})
    )
    floats, decoded = [await call(each, "embed_query", "trip to Japan") for each in (as_floats, as_base64)]
    assert len(floats) == 64
    assert decoded == pytest.approx(floats, abs=1e-6)


async def test_token_ids_are_embedded(openai_stub: OpenAIStub) -> None:
    with openai.OpenAI(base_url=openai_stub.base_url, api_key="stub") as client:
        one = client.embeddings.create(model="stub", input=[1, 2])
        two = client.embeddings.create(model="stub", input=[[1, 2], [3]])
    assert len(one.data) == 1
    assert [item.embedding == one.data[0].embedding for item in two.data] == [True, False]


async def test_empty_text_is_refused(call: Door, embeddings: OpenAIEmbeddings) -> None:
    with pytest.raises(openai.BadRequestError, match="must not be empty"):
        await call(embeddings, "embed_query", "")


async def test_embeddings_fail_as_scripted(call: Door, embeddings: OpenAIEmbeddings, openai_stub: OpenAIStub) -> None:
    openai_stub.embeddings += [rate_limited(), rate_limited(), rate_limited()]
    with pytest.raises(openai.RateLimitError):
        await call(embeddings, "embed_query", "hello")
    assert await call(embeddings, "embed_query", "hello")


async def test_unknown_path_is_not_found(openai_stub: OpenAIStub) -> None:
    client = openai.OpenAI(base_url=openai_stub.base_url, api_key="stub", max_retries=0)
    with client, pytest.raises(openai.NotFoundError):
        client.responses.create(model="stub", input="hello")


def test_server_leaves_promptly_while_it_is_slow() -> None:
    started_at = time.monotonic()
    with OpenAIStub() as stub:
        stub.chat.append(Answer("late", slow_seconds=60))
        model = ChatOpenAI(model="stub", base_url=stub.base_url, api_key=KEY, timeout=0.1, max_retries=0)
        with pytest.raises(openai.APITimeoutError):
            model.invoke("hi")
    assert time.monotonic() - started_at < 5
