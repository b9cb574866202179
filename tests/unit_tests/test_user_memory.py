"""One person's memory, outside any graph: what goes in comes back, and what is forgotten does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langgraph.checkpoint.memory import InMemorySaver

from langchain_hybrid_memory import (
    ConfigurationError,
    Entity,
    ExtractConfig,
    Fact,
    HybridMemory,
    Message,
    RecallConfig,
    SummaryConfig,
)
from tests.doubles.life import (
    INTRODUCTION,
    KNOWN,
    SECONDS,
    configured,
    count,
    learning_model,
    store_in_memory,
    talking_model,
)

if TYPE_CHECKING:
    from langchain_hybrid_memory import Receipt
    from tests.doubles.doors import Door

DAY = datetime(2026, 5, 4, 9, tzinfo=UTC)


class Person:
    """Someone's memory, in this run's spelling."""

    def __init__(self, call: Door, memory: HybridMemory, user: str = "alex") -> None:
        self.call, self.memory, self.user = call, memory, memory.for_user(user)

    async def says(self, *texts: str, thread: str = "first", **options: Any) -> int:
        said = [("user", text) for text in texts]
        new: int = await self.call(self.user, "record", said, thread_id=thread, **options)
        await self.call(self.memory, "flush", SECONDS)
        return new

    async def facts(self, **options: Any) -> list[Fact]:
        return [*await self.call(self.user, "facts", **options)]

    async def values(self, **options: Any) -> list[str]:
        return [fact.value for fact in await self.facts(**options)]

    async def recalls(self, query: str) -> list[str]:
        return [hit.text for hit in await self.call(self.user, "recall", query)]


@pytest.fixture
def memory() -> HybridMemory:
    return HybridMemory(learning_model(), store=store_in_memory(), checkpointer=InMemorySaver())


@pytest.fixture
def alex(call: Door, memory: HybridMemory) -> Person:
    return Person(call, memory)


# --- in and out ---


async def test_what_was_said_is_found_with_what_follows_from_it(alex: Person) -> None:
    assert await alex.says(*INTRODUCTION) == 5
    assert [count(await alex.facts(), words) for words in KNOWN] == [1] * len(KNOWN)
    hits = await alex.call(alex.user, "recall", "Where does Sarah work?")
    assert {type(hit.item) for hit in hits} == {Fact, Message}
    assert "Google" in hits[0].text
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@pytest.mark.parametrize("query", ["", "  "])
async def test_empty_question_finds_nothing(alex: Person, query: str) -> None:
    await alex.says("I live in Lisbon.")
    assert await alex.recalls(query) == []


async def test_recall_keeps_to_its_limit(call: Door) -> None:
    recall = RecallConfig(limit=3)
    alex = Person(call, HybridMemory(None, store=store_in_memory(), recall=recall))
    await alex.says(*(f"I prefer drink {number}." for number in range(10)))
    assert len(await alex.recalls("Which drink do I prefer?")) == 3


async def test_message_with_an_id_is_recorded_once(alex: Person) -> None:
    said = [HumanMessage("I live in Lisbon.", id="1"), AIMessage("Nice.", id="2")]
    assert await alex.call(alex.user, "record", said, thread_id="first") == 2
    assert await alex.call(alex.user, "record", said, thread_id="first") == 0
    assert await alex.call(alex.user, "record", said, thread_id="second") == 2
    await alex.call(alex.memory, "flush", SECONDS)
    assert await alex.values() == ["Lisbon"]


async def test_message_without_an_id_is_new_each_time(alex: Person) -> None:
    assert [await alex.says("OK") for _ in range(2)] == [1, 1]


async def test_recording_goes_on_where_the_thread_ended(alex: Person) -> None:
    for text in ("one", "two", "three"):
        await alex.says(text)
    found = alex.memory.store.search(("memory", "user", "alex", "messages"))
    assert {item.value["text"]: item.value["position"] for item in found} == {"one": 0, "two": 1, "three": 2}


async def test_time_without_a_zone_is_refused(alex: Person) -> None:
    naive = DAY.replace(tzinfo=None)
    with pytest.raises(ConfigurationError, match=r"at=.* has no time zone"):
        await alex.says("I live in Lisbon.", at=naive)
    with pytest.raises(ConfigurationError, match=r"as_of=.* has no time zone"):
        await alex.call(alex.user, "facts", as_of=naive)


async def test_edited_message_does_not_become_the_end_of_its_thread(alex: Person) -> None:
    said = [HumanMessage("One.", id="1"), AIMessage("Two.", id="2")]
    await alex.call(alex.user, "record", said, thread_id="first")
    await alex.call(alex.user, "record", [HumanMessage("One!", id="1")], thread_id="first")
    await alex.call(alex.user, "record", [HumanMessage("Three.", id="3")], thread_id="first")
    items = await alex.call(alex.memory.store, "search", ("memory", "user", "alex", "messages"), limit=10)
    found = {item.key: (item.value["text"], item.value["position"], item.value["context"]) for item in items}
    assert found == {"1": ("One!", 0, ""), "2": ("Two.", 1, "One."), "3": ("Three.", 2, "Two.")}


async def test_given_messages_are_not_changed(alex: Person) -> None:
    said = [HumanMessage("I live in Lisbon.")]
    await alex.call(alex.user, "record", said, thread_id="first")
    assert said[0].id is None


async def test_system_text_is_not_recorded(alex: Person) -> None:
    said = [SystemMessage("I live in Rome."), HumanMessage("I live in Lisbon.")]
    assert await alex.call(alex.user, "record", said, thread_id="first") == 1
    await alex.call(alex.memory, "flush", SECONDS)
    assert await alex.values() == ["Lisbon"]


async def test_nothing_said_is_nothing_recorded(alex: Person) -> None:
    assert await alex.call(alex.user, "record", [], thread_id="first") == 0
    assert alex.memory.store.search(("memory",)) == []


async def test_openai_dicts_are_understood(alex: Person) -> None:
    said = [{"role": "user", "content": "I live in Lisbon."}, {"role": "assistant", "content": "Nice."}]
    assert await alex.call(alex.user, "record", said, thread_id="first") == 2


# --- facts and entities ---


async def test_moving_ends_the_old_home_and_keeps_it(alex: Person) -> None:
    await alex.says("I live in Lisbon.", at=DAY)
    await alex.says("I moved to Porto last week.", at=DAY + timedelta(days=60))
    assert await alex.values() == ["Porto"]
    assert await alex.values(current_only=False) == ["Lisbon", "Porto"]
    assert await alex.values(as_of=DAY + timedelta(days=1)) == ["Lisbon"]
    assert await alex.values(as_of=DAY + timedelta(days=54)) == ["Porto"]
    assert await alex.values(as_of=DAY - timedelta(days=1)) == []


async def test_fact_tells_where_it_comes_from(alex: Person) -> None:
    await alex.says("Hello! I live in Lisbon.", at=DAY)
    (fact,) = await alex.facts()
    assert (fact.quote, fact.thread, fact.trust, fact.said_at, fact.valid_at) == (
        *("I live in Lisbon", "first", "user", DAY, DAY),
    )
    assert len(fact.message_ids) == 1


async def test_entity_is_found_by_name_in_any_case_with_what_is_true_about_it(alex: Person) -> None:
    await alex.says("My friend Sarah works at Google as a baker.", at=DAY)
    await alex.says("My friend Sarah works at Acme as a baker.", at=DAY + timedelta(days=9))
    sarah = await alex.call(alex.user, "entity", " sarah ")
    assert (sarah.name, sarah.type, sarah.first_seen_at) == ("Sarah", "person", DAY)
    assert sarah.last_seen_at == DAY + timedelta(days=9)
    assert sorted(fact.value for fact in sarah.facts) == ["Acme", "baker"]


async def test_entities_are_listed_latest_first(alex: Person) -> None:
    await alex.says("I live in Lisbon.", at=DAY)
    await alex.says("I'm planning a trip to Japan in March.", at=DAY + timedelta(days=1))
    entities: list[Entity] = await alex.call(alex.user, "entities")
    assert [entity.name for entity in entities] == ["Japan", "Lisbon"]
    assert all(entity.facts == () for entity in entities)


async def test_unknown_entity_is_none(alex: Person) -> None:
    assert await alex.call(alex.user, "entity", "Nobody") is None


async def test_summary_is_empty_until_there_is_one(call: Door) -> None:
    summary = SummaryConfig(after_messages=3, keep_messages=1)
    alex = Person(call, HybridMemory(learning_model(), store=store_in_memory(), summary=summary))
    await alex.says("one", "two")
    assert await call(alex.user, "summary", "first") == ""
    await alex.says("three")
    assert "user: one" in await call(alex.user, "summary", "first")
    assert await call(alex.user, "summary", "second") == ""


async def test_all_of_many_facts_are_given(call: Door) -> None:
    extract = ExtractConfig(max_facts=1_000)
    alex = Person(call, HybridMemory(learning_model(), store=store_in_memory(), extract=extract))
    await alex.says(*(f"I prefer drink {number:03}." for number in range(600)))
    assert len(await alex.facts()) == 600


def test_repr_names_the_user(memory: HybridMemory) -> None:
    assert repr(memory.for_user("alex")) == "<UserMemory 'alex'>"


# --- forgetting ---


async def test_forgotten_fact_is_gone_with_its_words_and_does_not_come_back(alex: Person) -> None:
    """Law 6."""
    await alex.says("I prefer tea. I live in Lisbon.")
    (home,) = [fact for fact in await alex.facts() if fact.value == "Lisbon"]
    receipt: Receipt = await alex.call(alex.user, "forget", home.id)
    assert receipt.removed == {"facts": 1, "quotes": 1, "entities": 1}
    assert receipt.remaining == ()
    await alex.says("OK")
    assert await alex.values() == ["tea"]
    assert not [text for text in await alex.recalls("Where do I live? In Lisbon?") if "Lisbon" in text]


async def test_forgetting_revives_what_had_ended(alex: Person) -> None:
    await alex.says("I live in Lisbon.")
    await alex.says("I moved to Porto.")
    (porto,) = await alex.facts()
    await alex.call(alex.user, "forget", porto.id)
    assert await alex.values() == ["Lisbon"]


async def test_forgetting_an_unknown_fact_removes_nothing(alex: Person) -> None:
    await alex.says("I live in Lisbon.")
    receipt = await alex.call(alex.user, "forget", "nothing-0")
    assert (receipt.removed, await alex.values()) == ({}, ["Lisbon"])


async def test_fact_of_somebody_else_cannot_be_forgotten(alex: Person) -> None:
    await alex.says("I live in Lisbon.")
    (home,) = await alex.facts()
    maria = Person(alex.call, alex.memory, "maria")
    assert (await maria.call(maria.user, "forget", home.id)).removed == {}
    assert await alex.values() == ["Lisbon"]


async def test_forgetting_everything_leaves_only_others(alex: Person) -> None:
    """Law 6."""
    maria, memory = Person(alex.call, alex.memory, "maria"), alex.memory
    agent: Any = memory.graph(talking_model())
    for user in ("alex", "maria"):
        asked = {"messages": [("user", "I live in Lisbon with Sarah.")]}
        await alex.call(agent, "invoke", asked, configured(user, f"thread of {user}"))
    await alex.call(memory, "flush", SECONDS)
    theirs = [item for item in memory.store.search(("memory",), limit=100) if "maria" in item.namespace]
    receipt = await alex.call(alex.user, "forget_everything")
    assert receipt.remaining == ()
    assert receipt.removed["checkpointed threads"] == 1
    assert (receipt.removed["messages"], receipt.removed["facts"], receipt.removed["threads"]) == (2, 1, 1)
    assert memory.store.search(("memory",), limit=100) == theirs
    assert await maria.values() == ["Lisbon"]
    saved = [alex.call(agent, "get_state", configured(user, f"thread of {user}")) for user in ("alex", "maria")]
    assert [bool((await state).values) for state in saved] == [False, True]


async def test_forgetting_everything_twice_removes_nothing_more(alex: Person) -> None:
    await alex.says("I live in Lisbon.")
    await alex.call(alex.user, "forget_everything")
    receipt = await alex.call(alex.user, "forget_everything")
    assert not any(receipt.removed.values())


async def test_receipt_says_what_was_out_of_reach(call: Door) -> None:
    alex = Person(call, HybridMemory(learning_model(), store=store_in_memory()))
    await alex.says("I live in Lisbon.")
    receipt = await call(alex.user, "forget_everything")
    assert len(receipt.remaining) == 1
    assert "checkpoints of 1 threads: no checkpointer was given" in receipt.remaining[0]


async def test_person_may_start_anew_after_everything_was_forgotten(alex: Person) -> None:
    await alex.says("I live in Lisbon.")
    await alex.call(alex.user, "forget_everything")
    await alex.says("I live in Rome.")
    assert await alex.values(current_only=False) == ["Rome"]


# --- what cannot be meant ---


@pytest.mark.parametrize(
    "said", ["I live in Lisbon.", ("user", "I live in Lisbon."), HumanMessage("I live in Lisbon.")]
)
async def test_single_message_is_not_recorded_piece_by_piece(alex: Person, said: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"a single message; pass a list") as refused:
        await alex.call(alex.user, "record", said, thread_id="first")
    assert "Lisbon" not in str(refused.value)
    assert not await alex.recalls("Lisbon")


@pytest.mark.parametrize("method", ["forget", "why", "pin", "unpin"])
async def test_fact_in_the_place_of_its_id_is_refused_without_its_words(alex: Person, method: str) -> None:
    await alex.says("I live in Lisbon.")
    (home,) = await alex.facts()
    with pytest.raises(ConfigurationError, match=r"fact_id is of type Fact; pass a string") as refused:
        await alex.call(alex.user, method, home)
    assert "Lisbon" not in str(refused.value)


async def test_id_of_message_or_thread_that_is_none_is_refused(alex: Person) -> None:
    with pytest.raises(ConfigurationError, match=r"message_id is of type NoneType"):
        await alex.call(alex.user, "forget_message", "first", None)
    with pytest.raises(ConfigurationError, match=r"thread_id is of type NoneType"):
        await alex.call(alex.user, "forget_thread", None)
    with pytest.raises(ConfigurationError, match=r"thread_id is of type int"):
        await alex.call(alex.user, "record", [("user", "Hello.")], thread_id=7)


# --- looking and correcting ---


async def test_person_sees_why_corrects_pins_and_follows_the_history(alex: Person) -> None:
    await alex.says("My friend Sarah works at Google as a baker.", "I live in Lisbon.", at=DAY)
    (home,) = [fact for fact in await alex.facts() if fact.value == "Lisbon"]
    assert (await alex.call(alex.user, "why", home.id)).quote == "I live in Lisbon"
    assert (await alex.call(alex.user, "pin", home.id)).is_pinned
    assert not (await alex.call(alex.user, "unpin", home.id)).is_pinned
    right = await alex.call(alex.user, "edit", home.id, "The user lives in Lagos.")
    assert home.id not in [fact.id for fact in await alex.facts()]
    labels = {moment.fact.id: moment.label for moment in await alex.call(alex.user, "timeline")}
    assert (labels[home.id], labels[right.id]) == ("corrected", "began")
    assert len(await alex.call(alex.user, "timeline", "Sarah")) == 2
    assert (await alex.call(alex.user, "entity", "Sarah", history=True)).history == ()


async def test_pinned_fact_is_in_the_prompt_of_every_door(alex: Person) -> None:
    await alex.says("I live in Lisbon.")
    (home,) = await alex.facts()
    await alex.call(alex.user, "pin", home.id)
    chat = talking_model()
    asked = {"messages": [("user", "Hello")]}
    await alex.call(alex.memory.graph(chat), "invoke", asked, configured("alex", "t"))
    agent: Any = create_agent(chat, middleware=[alex.memory.middleware()], checkpointer=InMemorySaver())
    await alex.call(agent, "invoke", asked, configured("alex", "u"))
    assert [call.messages[0].text.count("Lisbon") for call in chat.calls_of("chat")] == [1, 1]
    await alex.call(alex.memory.graph(chat), "invoke", asked, configured("maria", "v"))
    assert "Lisbon" not in chat.calls_of("chat")[-1].prompt
