"""A person talks, comes back another day in another thread, and is remembered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from langchain_hybrid_memory import MissingUserError, SummaryConfig
from langchain_hybrid_memory.background import Background
from tests.doubles.life import INTRODUCTION, KNOWN, configured, count, learning_model, open_life

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_hybrid_memory._flow import Flow
    from langchain_hybrid_memory.reports import Report
    from tests.doubles.doors import Mode
    from tests.doubles.life import Life

FIRST_DAY = datetime(2026, 5, 4, 9, tzinfo=UTC)


async def introduce(life: Life, **where: Any) -> None:
    for text in INTRODUCTION:
        await life.say(text, **where)
    await life.flush()


@pytest.mark.parametrize("extraction", ["background", "inline", "manual"])
async def test_person_is_known_in_a_new_process_and_thread(tmp_path: Path, mode: Mode, extraction: str) -> None:
    async with open_life(mode, tmp_path, brain=learning_model(), extraction=extraction) as life:
        await introduce(life, thread="first")
    async with open_life(mode, tmp_path, brain=learning_model(seed=100), extraction=extraction) as life:
        await life.say("What do you know about Sarah?", thread="second")
        assert all(word in life.prompt for word in ("Google", "software engineer", "3 years"))
        await life.say("What travel plans do I have?", thread="second")
        assert all(word in life.prompt for word in ("Japan", "March"))
        await life.say("Actually I moved to Porto last week.", thread="second")
        await life.flush()
    async with open_life(mode, tmp_path, brain=learning_model(seed=200), extraction=extraction) as life:
        await life.say("Where do I live?", thread="third")
        assert "moved to Porto" in life.prompt
        assert "and [no longer true]." in life.prompt
        assert "The user lives in Lisbon" not in life.prompt
        facts = await life.facts(current_only=False)
    assert [count(facts, words) for words in KNOWN] == [1] * len(KNOWN)
    (home,) = [fact for fact in facts if "lives in Lisbon" in fact.text]
    (new_home,) = [fact for fact in facts if "moved to Porto" in fact.text]
    assert home.superseded_by == new_home.id
    assert home.invalid_at
    assert not new_home.is_superseded


async def test_what_was_said_twice_is_outdated_twice(tmp_path: Path, mode: Mode) -> None:
    async with open_life(mode, tmp_path, brain=learning_model()) as life:
        for thread, text in enumerate(["I live in Lisbon.", "Yes, I live in Lisbon.", "I moved to Porto."]):
            await life.say(text, thread=f"t{thread}")
            await life.flush()
        hits = await life.call(life.memory.for_user("alex"), "recall", "Where do I live, in Lisbon?")
    outdated = {hit.text: hit.outdated for hit in hits if "Lisbon" in hit.text}
    assert outdated
    assert set(outdated.values()) == {("I live in Lisbon",)}


async def test_what_was_true_then_can_still_be_asked(tmp_path: Path, mode: Mode) -> None:
    days = [FIRST_DAY]
    async with open_life(mode, tmp_path, brain=learning_model(), now=lambda: days[-1]) as life:
        await life.say("I live in Lisbon.")
        await life.flush()
        days.append(FIRST_DAY + timedelta(days=60))
        await life.say("I moved to Porto last week.")
        await life.flush()
        before = await life.facts(as_of=FIRST_DAY + timedelta(days=10))
        after = await life.facts(as_of=FIRST_DAY + timedelta(days=59))
    assert [fact.value for fact in before] == ["Lisbon"]
    assert [fact.value for fact in after] == ["Porto"]


async def test_prompt_holds_summary_and_last_ten_while_checkpoint_holds_all(tmp_path: Path, mode: Mode) -> None:
    summary = SummaryConfig(after_messages=20, keep_messages=10, summary_tokens=4_000)
    async with open_life(mode, tmp_path, brain=learning_model(), summary=summary) as life:
        for number in range(15):
            await life.say(f"This is remark number <{number}>.")
            await life.flush()
        await life.say("And now?")
        system, *shown = life.chat.calls_of("chat")[-1].messages
        state = (await life.call(life.agent, "get_state", configured("alex", "first"))).values
        text = await life.call(life.memory.for_user("alex"), "summary", "first")
    said = [message.text for message in state["messages"]]
    assert len(said) == 32
    assert [message.text.rpartition("\n\n")[2] for message in shown] == said[20:31]
    assert text in system.text
    assert [text.count(f": {old}") for old in said[:20]] == [1] * 20
    assert not any(f": {new}" in text for new in said[20:])


@pytest.mark.parametrize("has_model", [True, False])
async def test_second_thread_finds_what_was_said_a_second_ago_without_extraction(
    tmp_path: Path, mode: Mode, *, has_model: bool
) -> None:
    brain = learning_model() if has_model else None
    async with open_life(mode, tmp_path, brain=brain, extraction="manual") as life:
        await life.say("The boiler man is called Ferdinand.", thread="first")
        await life.say("What is the boiler man called?", thread="second")
        assert "user: The boiler man is called Ferdinand." in life.prompt
        assert "assistant: Noted, number 1." in life.prompt
        assert not await life.facts()
    assert brain is None or not brain.calls


def indexing_nothing(*_: object) -> Flow[Report]:
    yield from ()
    return {}


async def test_second_thread_finds_it_before_anything_is_indexed(
    tmp_path: Path, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Background, "after_turn", indexing_nothing)
    async with open_life(mode, tmp_path, brain=None) as life:
        await life.say("The boiler man is called Ferdinand.", thread="first")
        await life.say("What is the boiler man called?", thread="second")
        assert "user: The boiler man is called Ferdinand." in life.prompt


async def test_memory_switched_off_recalls_and_leaves_nothing(tmp_path: Path, mode: Mode) -> None:
    async with open_life(mode, tmp_path, brain=learning_model()) as life:
        await life.say("I live in Lisbon.", thread="first")
        await life.say("I'm Alex. Where do I live?", thread="second", memory="off")
        assert "Lisbon" not in life.prompt
        await life.say("I prefer tea.", thread="second")
        await life.flush()
        assert [fact.value for fact in await life.facts()] == ["Lisbon", "tea"]
        assert await messages_of(life) == {"I live in Lisbon.", "I prefer tea."}


async def test_memory_on_read_recalls_but_leaves_nothing(tmp_path: Path, mode: Mode) -> None:
    async with open_life(mode, tmp_path, brain=learning_model()) as life:
        await life.say("I live in Lisbon.", thread="first")
        await life.say("I'm Alex. Where do I live?", thread="second", memory="read")
        assert "I live in Lisbon" in life.prompt
        await life.say("I prefer tea.", thread="second")
        await life.flush()
        assert [fact.value for fact in await life.facts()] == ["Lisbon", "tea"]
        assert await messages_of(life) == {"I live in Lisbon.", "I prefer tea."}


async def test_unremembered_turn_whose_model_failed_is_not_swept_up_later(tmp_path: Path, mode: Mode) -> None:
    async with open_life(mode, tmp_path, brain=learning_model()) as life:
        life.chat.failures[("chat", 0)] = TimeoutError()
        for switch in ("off", "on"):
            if switch == "off":
                with pytest.raises(TimeoutError):
                    await life.say("I live in Lisbon.", memory=switch)
            else:
                await life.say("I prefer tea.", memory=switch)
        await life.flush()
        assert await messages_of(life) == {"I prefer tea."}


async def messages_of(life: Life) -> set[str]:
    """What people said, as it stands in the log."""
    found = await life.call(life.memory.store, "search", ("memory", "user"), limit=1_000)
    return {item.value["text"] for item in found if item.namespace[3] == "messages" and item.value["role"] == "user"}


async def test_user_may_come_from_the_context(tmp_path: Path, mode: Mode) -> None:
    async with open_life(mode, tmp_path, brain=learning_model()) as life:
        asked = {"messages": [("user", "I live in Lisbon.")]}
        config = configured("somebody else", "first")
        await life.call(life.agent, "invoke", asked, config, context={"user_id": "alex"})
        await life.flush()
        assert [fact.value for fact in await life.facts("alex")] == ["Lisbon"]
        assert not await life.facts("somebody else")


@pytest.mark.parametrize("user", [None, ""])
async def test_run_without_a_user_is_refused_before_any_model_call(
    tmp_path: Path, mode: Mode, user: str | None
) -> None:
    brain = learning_model()
    async with open_life(mode, tmp_path, brain=brain, extraction="inline") as life:
        with pytest.raises(MissingUserError, match="memory always belongs to somebody"):
            await life.say("I live in Lisbon.", user=user)
        assert not life.chat.calls
        assert not brain.calls
        assert not await life.call(life.memory.store, "search", ("memory",))


ALIKE = ("alex", "Alex", "alex ", "al", "alex/work", "alex.work", "alex@example.com", "älex", "alex\n", "a" * 1_000)
HOMES = ("Lisbon", "Porto", "Rome", "Oslo", "Paris", "Berlin", "Madrid", "Vienna", "Prague", "Athens")


async def test_users_never_see_each_other(tmp_path: Path, mode: Mode) -> None:
    homes = dict(zip(ALIKE, HOMES, strict=True))
    async with open_life(mode, tmp_path, brain=learning_model()) as life:
        for user, home in homes.items():
            await life.say(f"I live in {home}.", user=user, thread=f"thread of {home}")
        await life.flush()
        for user, home in homes.items():
            await life.say("Where do I live?", user=user, thread=f"later of {home}")
            assert [other for other in HOMES if other in life.prompt] == [home]
            assert [fact.value for fact in await life.facts(user)] == [home]


async def test_two_users_in_one_thread_share_its_messages_but_no_memory(tmp_path: Path, mode: Mode) -> None:
    async with open_life(mode, tmp_path, brain=learning_model()) as life:
        await life.say("I live in Lisbon.", user="alex", thread="group")
        await life.flush()
        await life.say("Where do I live?", user="maria", thread="group")
        assert "<memory>" not in life.prompt
        await life.flush()
        assert not await life.facts("maria")
