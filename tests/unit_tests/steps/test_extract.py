"""One question to the model, one repair, and never a silent loss."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import openai
import pytest
from langchain_openai import ChatOpenAI
from langgraph.store.base import SearchOp
from pydantic import SecretStr

from langchain_hybrid_memory.budget import approximate_tokens
from langchain_hybrid_memory.config import BufferConfig, ExtractConfig, RecallConfig, StructuredMethod
from langchain_hybrid_memory.errors import ExtractionError
from langchain_hybrid_memory.prompts.extraction import Extraction, answer_schema, extraction_prompt
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.compose import compose
from langchain_hybrid_memory.steps.extract import (
    LINE_TOKENS,
    Meter,
    Neighbor,
    Usage,
    choose_episodes,
    extract,
    find_neighbors,
    prompt_size,
)
from langchain_hybrid_memory.steps.load import load, load_messages
from langchain_hybrid_memory.steps.recall import recall
from langchain_hybrid_memory.steps.record import record
from tests.doubles.builders import (
    ALEX,
    NOW,
    ai,
    extraction,
    human,
    iso,
    keep,
    know,
    known_fact,
    lives_in,
    named,
    queued,
    result,
    said,
    state,
)
from tests.doubles.openai_answers import Answer, Failed, Tool
from tests.doubles.openai_stub import CHAT, OpenAIStub
from tests.doubles.scripted import Fault, ScriptedChatModel
from tests.doubles.stores import LyingStore

if TYPE_CHECKING:
    from langchain_hybrid_memory.records import Role, StoredMessage
    from tests.doubles.scripted import Structure
    from tests.doubles.stores import WatchedStore
    from tests.unit_tests.steps.conftest import Driver

GOOD = extraction(lives_in("Lisbon"), entities=(named("Lisbon"),))
SAID = [said("m1", "I live in Lisbon")]
NOTHING = extraction()
METHODS: list[StructuredMethod] = ["function_calling", "json_mode", "json_schema"]
every_method = pytest.mark.parametrize("method", METHODS)


async def ask(
    drive: Driver, model: Any, method: StructuredMethod | None = None, messages: list[StoredMessage] | None = None
) -> tuple[Extraction, Usage]:
    meter = Meter()
    answer = await drive(extract(model, messages or SAID, [], config=ExtractConfig(method=method), meter=meter))
    return answer, meter.usage


@every_method
async def test_good_answer_takes_one_call(drive: Driver, method: StructuredMethod) -> None:
    model = ScriptedChatModel(structured=[GOOD])
    answer, usage = await ask(drive, model, method)
    assert answer == GOOD
    assert [call.method for call in model.calls] == [method]
    seen = model.calls[0].usage
    assert seen is not None
    assert usage == Usage(1, seen["input_tokens"], seen["output_tokens"])


async def test_method_is_left_to_the_integration_by_default(drive: Driver) -> None:
    model = ScriptedChatModel(structured=[GOOD])
    await ask(drive, model)
    assert model.calls[0].method == "json_schema", "the scripted model's own default"


@every_method
async def test_empty_lists_are_an_answer(drive: Driver, method: StructuredMethod) -> None:
    model = ScriptedChatModel(structured=[NOTHING])
    assert (await ask(drive, model, method))[0] == NOTHING
    assert len(model.calls) == 1


WRONG_SCHEMA = {"facts": [{"quote": "I live in Lisbon"}], "entities": []}
OUT_OF_RANGE = GOOD.model_dump() | {"facts": [lives_in("Lisbon").model_dump() | {"importance": 9}]}
BROKEN: list[tuple[Fault | None, Structure]] = [
    (Fault.MALFORMED, GOOD),
    (Fault.EMPTY, GOOD),
    (Fault.TRUNCATED, GOOD),
    (None, WRONG_SCHEMA),
    (None, OUT_OF_RANGE),
    (None, "I would rather not."),
]
broken = pytest.mark.parametrize(
    ("fault", "answer"), BROKEN, ids=["malformed", "empty", "truncated", "wrong schema", "out of range", "refusal"]
)


@every_method
@broken
async def test_bad_answer_is_repaired_once(
    drive: Driver, method: StructuredMethod, fault: Fault | None, answer: Structure
) -> None:
    failures: Any = {("structured", 0): fault} if fault else {}
    model = ScriptedChatModel(structured=[answer, GOOD], failures=failures)
    extracted, usage = await ask(drive, model, method)
    assert extracted == GOOD
    assert usage.calls == len(model.calls) == 2
    first, second = model.calls
    assert second.messages[: len(first.messages)] == first.messages, "the prefix stays"
    assert "could not be used" in second.messages[-1].text


@every_method
@broken
async def test_answer_that_stays_bad_is_an_error_that_quotes_nothing(
    drive: Driver, method: StructuredMethod, fault: Fault | None, answer: Structure
) -> None:
    failures: Any = {("structured", n): fault for n in range(2)} if fault else {}
    model = ScriptedChatModel(structured=[answer] * 2, failures=failures)
    with pytest.raises(ExtractionError, match=r"stay pending. Try ExtractConfig\(method") as caught:
        await ask(drive, model, method)
    assert len(model.calls) == 2
    assert "Lisbon" not in str(caught.value)
    assert "NoneType" not in str(caught.value)


async def test_repair_shows_the_model_what_was_wrong(drive: Driver) -> None:
    model = ScriptedChatModel(structured=[WRONG_SCHEMA, GOOD])
    await ask(drive, model, "json_schema")
    *_, shown, request = model.calls[1].messages
    assert "I live in Lisbon" in shown.text
    assert "Field required" in request.text or "validation error" in request.text


async def test_tokens_of_a_bad_answer_count_too(drive: Driver) -> None:
    model = ScriptedChatModel(structured=[WRONG_SCHEMA, GOOD])
    _, usage = await ask(drive, model, "json_schema")
    seen = [call.usage for call in model.calls if call.usage]
    assert usage == Usage(2, sum(u["input_tokens"] for u in seen), sum(u["output_tokens"] for u in seen))


async def test_failure_of_the_model_itself_passes_through(drive: Driver) -> None:
    model = ScriptedChatModel(structured=[GOOD], failures={("structured", 0): TimeoutError("slow")})
    with pytest.raises(TimeoutError):
        await ask(drive, model)
    assert len(model.calls) == 1, "retries are the model's own business"


def stubbed(stub: OpenAIStub) -> ChatOpenAI:
    return ChatOpenAI(model="stub", base_url=stub.base_url, api_key=SecretStr("stub"), max_retries=0)


HALF = GOOD.model_dump_json()[:80]


def as_sent(text: str, method: StructuredMethod, **more: Any) -> Answer:
    """Put a text where the method carries it."""
    return Answer(tools=(Tool("Extraction", text),), **more) if method == "function_calling" else Answer(text, **more)


@every_method
async def test_openai_model_answers_at_once(drive: Driver, openai_stub: OpenAIStub, method: StructuredMethod) -> None:
    openai_stub.chat.append(GOOD.model_dump())
    extracted, usage = await ask(drive, stubbed(openai_stub), method)
    assert extracted == GOOD
    assert usage.calls == 1
    assert usage.prompt_tokens > 0 < usage.completion_tokens


@every_method
@pytest.mark.parametrize("fault", ["malformed", "truncated", "refused", "empty", "chatty", "wrong schema"])
async def test_openai_model_repairs(
    drive: Driver, openai_stub: OpenAIStub, method: StructuredMethod, fault: str
) -> None:
    answers = {
        "malformed": as_sent(HALF + "}}", method),
        "truncated": as_sent(HALF, method, finish_reason="length"),
        "refused": Answer(refusal="I will not"),
        "empty": Answer(""),
        "chatty": Answer("Lisbon is nice."),
        "wrong schema": as_sent('{"facts": 3}', method),
    }
    openai_stub.chat += [answers[fault], GOOD.model_dump()]
    extracted, usage = await ask(drive, stubbed(openai_stub), method)
    assert extracted == GOOD
    assert usage.calls == len(openai_stub.requests_to(CHAT)) == 2


async def test_truncated_answer_that_looks_whole_is_repaired(drive: Driver, openai_stub: OpenAIStub) -> None:
    """A streaming client closes the brackets of half an answer; only its `finish_reason` tells."""
    streaming = stubbed(openai_stub).model_copy(update={"streaming": True})
    half = '{"facts": [], "entities": [{"name": "Lis", "type": "place", "aliases": ["the ci'
    openai_stub.chat += [as_sent(half, "function_calling", finish_reason="length"), GOOD.model_dump()]
    extracted, usage = await ask(drive, streaming, "function_calling")
    assert (extracted, usage.calls) == (GOOD, 2)


async def test_openai_model_that_stays_bad_is_an_error(drive: Driver, openai_stub: OpenAIStub) -> None:
    openai_stub.chat += [as_sent(HALF, "json_schema", finish_reason="length")] * 2
    with pytest.raises(ExtractionError, match="twice"):
        await ask(drive, stubbed(openai_stub), "json_schema")


async def test_openai_error_passes_through(drive: Driver, openai_stub: OpenAIStub) -> None:
    openai_stub.chat.append(Failed())
    with pytest.raises(openai.InternalServerError):
        await ask(drive, stubbed(openai_stub), "json_schema")


async def test_json_mode_says_json_as_openai_demands(drive: Driver, openai_stub: OpenAIStub) -> None:
    openai_stub.chat.append(GOOD.model_dump())
    await ask(drive, stubbed(openai_stub), "json_mode")
    (request,) = openai_stub.requests_to(CHAT)
    assert request.body["response_format"] == {"type": "json_object"}
    assert "json" in str(request.body["messages"]).casefold()


def choose(*lengths: int, batch_tokens: int = 100) -> tuple[list[str], list[StoredMessage]]:
    """Choose among episodes of one message each, so many tokens long."""
    episodes = [queued(f"e-m{n}") for n in range(len(lengths))]
    messages = [said(f"m{n}", "x" * length) for n, length in enumerate(lengths)]
    chosen, batched = choose_episodes(episodes, messages, config=ExtractConfig(batch_tokens=batch_tokens), count=len)
    return [episode["key"] for episode in chosen], batched


@pytest.mark.parametrize(
    ("lengths", "chosen"),
    [
        ((), []),
        ((10, 10, 10), ["e-m0", "e-m1", "e-m2"]),
        ((40, 28, 1), ["e-m0", "e-m1"]),
        ((40, 29, 1), ["e-m0"]),
        ((500, 1), ["e-m0"]),
        ((1, 500, 1), ["e-m0"]),
    ],
)
def test_oldest_episodes_that_fit_one_call_are_taken(lengths: tuple[int, ...], chosen: list[str]) -> None:
    assert choose(*lengths)[0] == chosen


def test_long_message_is_cut_and_still_goes() -> None:
    _, (message,) = choose(500)
    assert len(message["text"]) == 100
    assert message["text"].endswith("…")


def test_message_is_not_cut_because_the_next_episode_is_long() -> None:
    assert [len(message["text"]) for message in choose(80, 500)[1]] == [80]


def test_long_episode_shares_the_room_among_its_messages() -> None:
    messages = [said(f"m{n}", "x" * length, episode="e") for n, length in enumerate((10, 500, 500, 500))]
    _, batched = choose_episodes([queued("e")], messages, config=ExtractConfig(batch_tokens=100), count=len)
    assert [len(message["text"]) for message in batched] == [10, 25, 25, 25]


def test_results_of_tools_are_not_shown() -> None:
    messages = [said("m1", "Look it up"), said("t1", "He lives in Rome", role="tool", episode="e-m1")]
    _, batched = choose_episodes([queued("e-m1")], messages, config=ExtractConfig(), count=len)
    assert [message["id"] for message in batched] == ["m1"]


def test_episode_whose_messages_are_gone_does_not_stop_the_others() -> None:
    chosen, batched = choose_episodes(
        [queued("gone"), queued("e-m1")], [said("m1", "x" * 500)], config=ExtractConfig(batch_tokens=100), count=len
    )
    assert [episode["key"] for episode in chosen] == ["gone"]
    assert batched == []


async def test_neighbors_are_the_nearest_current_facts(drive: Driver, store: WatchedStore) -> None:
    know(
        store,
        near=known_fact("The user lives in Lisbon."),
        old=known_fact("The user lives in Lisbon since long.", superseded_by="near"),
        far=known_fact("Sarah works at Google.", subject="sarah"),
    )
    found = await drive(find_neighbors(ALEX, store, SAID, limit=8))
    assert [neighbor["key"] for neighbor in found] == ["near", "far"]
    assert [neighbor["key"] for neighbor in await drive(find_neighbors(ALEX, store, SAID, limit=1))] == ["near"]


async def test_neighbors_are_sought_for_what_the_user_said_in_one_batch(drive: Driver, store: WatchedStore) -> None:
    know(store, home=known_fact("The user lives in Lisbon."), job=known_fact("Sarah works at Google."))
    store.forget_calls()
    messages = [*SAID, said("m2", "Sarah works where?"), said("a1", "Anything else", role="assistant"), *SAID]
    found = await drive(find_neighbors(ALEX, store, messages, limit=8))
    assert {neighbor["key"] for neighbor in found} == {"home", "job"}
    assert [sum(isinstance(op, SearchOp) and bool(op.query) for op in ops) for ops in store.batches] == [0, 2]


async def test_foreign_fact_is_no_neighbor(drive: Driver) -> None:
    foreign = (Scope(user_id="sam").namespace("facts"), "f1", dict(known_fact("The user lives in Rome.")))
    assert await drive(find_neighbors(ALEX, LyingStore(foreign), SAID, limit=8)) == []


def test_prompt_numbers_facts_and_messages() -> None:
    messages = [
        said("m1", "Hi", at=iso(0)),
        said("a1", "Hello", role="assistant"),
        said("m2", "Yo", speaker="Caroline"),
    ]
    *_, asked = extraction_prompt(messages, [known_fact("A."), known_fact("B.")])
    assert asked.text == (
        "Known facts:\n1. A.\n2. B.\nMessages:\n[1] 2024-05-20 Monday, user: Hi\n"
        "[2] 2024-05-20 Monday, assistant: Hello\n[3] 2024-05-20 Monday, Caroline: Yo\nAnswer:"
    )


@pytest.mark.parametrize("words", [12, 2_000])
def test_prompt_before_the_messages_stays_short(words: int) -> None:
    neighbors = [known_fact("lives " * words) for _ in range(ExtractConfig().neighbors)]
    before = "".join(message.text for message in extraction_prompt([], neighbors))
    assert approximate_tokens(before) <= 1_500


@pytest.mark.parametrize("lengths", [(10,) * 60, (9_000,), (1_500, 1_500, 40)])
def test_whole_prompt_of_a_batch_is_bounded(lengths: tuple[int, ...]) -> None:
    config = ExtractConfig()
    messages = [said(f"m{n}", "word " * length, episode=f"e{n // 4}") for n, length in enumerate(lengths)]
    episodes = [queued(key) for key in dict.fromkeys(message["episode"] for message in messages)]
    _, batched = choose_episodes(episodes, messages, config=config, count=approximate_tokens)
    neighbors = [Neighbor(key=str(n), fact=known_fact("lives " * 900)) for n in range(config.neighbors)]
    size = prompt_size(batched, neighbors, config=config, count=approximate_tokens)
    assert 700 < size <= 1_500 + config.batch_tokens + LINE_TOKENS * len(batched)


@pytest.mark.parametrize("method", METHODS)
async def test_categories_are_offered_and_read(drive: Driver, method: StructuredMethod) -> None:
    config = ExtractConfig(method=method, categories=("boats", "people"))
    filed = extraction(lives_in("Lisbon", category="people"))
    model = ScriptedChatModel(structured=[filed])
    answer = await drive(extract(model, SAID, [], config=config, meter=Meter()))
    assert answer.model_dump() == filed.model_dump()
    first, _, example, *_ = model.calls[0].messages
    assert "boats, people, other" in first.text
    assert '"category":"other"' in example.text
    schema = model.calls[0].schema
    assert not isinstance(schema, dict)
    assert '"enum": ["boats", "people", "other"]' in json.dumps(schema.model_json_schema() if schema else {})


def test_categories_cost_nothing_where_there_are_none() -> None:
    assert "category" not in json.dumps(answer_schema(60).model_json_schema())
    assert "category" not in "".join(message.text for message in extraction_prompt([], []))


async def test_instructions_of_the_application_follow_ours(drive: Driver) -> None:
    model = ScriptedChatModel(structured=[GOOD])
    config = ExtractConfig(instructions="Only facts about boats.")
    known = [Neighbor(key="k", fact=known_fact("A."))]
    await drive(extract(model, SAID, known, config=config, meter=Meter()))
    first, *_, asked = model.calls[0].messages
    assert first.text.endswith("\n\nOnly facts about boats.")
    assert "1. A." in asked.text


async def test_no_recalled_text_reaches_the_prompt(drive: Driver, store: WatchedStore) -> None:
    keep(store, said("m1", "I once lived in Reykjavik", thread="t0"))
    history = [human("h1", "Where did I live?"), ai("a1", "Let me see", calls=("c",))]
    asked = state(*history, result("t1", "c", "You once lived in Reykjavik"), ai("a2", "In Iceland"))
    update = await drive(recall(asked, ALEX, store, config=RecallConfig(), buffer=BufferConfig(), now=NOW))
    _, shown = compose(
        asked["messages"], system_prompt=None, summary=None, recalled=update["recalled"], buffer=BufferConfig()
    )
    assert "I once lived in Reykjavik" in shown[0].text, "the model that answers saw it"
    await drive(record(asked, ALEX, store, now=NOW))
    queue = await drive(load(ALEX, store))
    messages = await drive(load_messages(ALEX, store, queue))
    _, batched = choose_episodes(queue, messages, config=ExtractConfig(), count=approximate_tokens)
    prompt = "".join(message.text for message in extraction_prompt(batched, []))
    assert "In Iceland" in prompt
    assert "Reykjavik" not in prompt


async def test_model_is_told_how_many_facts_it_may_give(drive: Driver) -> None:
    model = ScriptedChatModel(structured=[GOOD])
    await drive(extract(model, SAID, [], config=ExtractConfig(max_facts=3), meter=Meter()))
    schema: Any = model.calls[0].schema
    properties = schema.model_json_schema()["properties"]
    assert [properties[name]["maxItems"] for name in ("facts", "entities")] == [3, 3]


def test_question_costs_no_call_where_only_the_user_is_read() -> None:
    message = said("m1", "Where do I live?")
    episodes = [queued("e-m1")]
    roles: tuple[Role, ...]
    for roles, expected in ((("user",), []), (("user", "assistant"), [message])):
        _, chosen = choose_episodes(episodes, [message], config=ExtractConfig(roles=roles), count=approximate_tokens)
        assert chosen == expected
