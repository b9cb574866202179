"""A thread that is taken back in time goes on without what was said after; pruning and haste take nothing away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import HumanMessage, RemoveMessage

from langchain_hybrid_memory import HybridMemory, SummaryConfig
from langchain_hybrid_memory.records import FIRST
from tests.doubles.life import close, configured, learning_model, open_life

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.doubles.doors import Mode
    from tests.doubles.life import Life

THREAD = configured("alex", "first")


@pytest.fixture
async def life(tmp_path: Path, mode: Mode) -> AsyncIterator[Life]:
    """Somebody who has told two things, and had them learned."""
    summary = SummaryConfig(after_messages=6, keep_messages=2, summary_tokens=4_000)
    async with open_life(mode, tmp_path, brain=learning_model(), summary=summary) as opened:
        await opened.say("I prefer tea.")
        await opened.flush()
        await opened.say("I live in Lisbon.")
        await opened.flush()
        yield opened


async def history(life: Life) -> list[Any]:
    return await life.call.collect(life.agent, "get_state_history", THREAD)


async def go_back(life: Life, said: int, *, at: str = "__start__") -> Any:
    """The config of the checkpoint with so many messages that goes on with `at`."""
    found = await history(life)
    config = next(s.config for s in found if len(s.values.get("messages", ())) == said and s.next == (at,))
    return {"configurable": {**config["configurable"], "user_id": "alex"}}


async def values(life: Life) -> list[str]:
    return sorted(fact.value for fact in await life.facts())


async def log(life: Life) -> list[dict[str, Any]]:
    found = await life.call(life.memory.store, "search", ("memory", "user", "alex", "messages"), limit=100)
    return sorted((item.value for item in found), key=lambda message: message["position"])


async def left(life: Life) -> list[str]:
    """What the thread went on without."""
    return [message["text"] for message in await log(life) if message["is_abandoned"]]


async def say_instead(life: Life, text: str, *, said: int = 2) -> None:
    await life.call(life.agent, "invoke", {"messages": [("user", text)]}, await go_back(life, said))
    await life.flush()


async def test_edited_message_takes_its_facts_along(life: Life) -> None:
    await say_instead(life, "I live in Porto.")
    assert await values(life) == ["Porto", "tea"]
    assert await left(life) == ["I live in Lisbon.", "Noted, number 3."]
    await life.say("Where do I live?", thread="second")
    assert "I live in Porto" in life.prompt
    assert "Lisbon" not in life.prompt


async def test_what_was_abandoned_does_not_come_back_from_a_rebuild(life: Life) -> None:
    await say_instead(life, "I live in Porto.")
    await life.call(life.memory.for_user("alex"), "rebuild")
    assert await values(life) == ["Porto", "tea"]


async def test_abandoned_fact_that_was_confirmed_elsewhere_stands_on_that(life: Life) -> None:
    await life.say("I live in Lisbon.", thread="second")
    await life.flush()
    await say_instead(life, "I prefer milk.")
    (home,) = [fact for fact in await life.facts() if fact.value == "Lisbon"]
    why = await life.call(life.memory.for_user("alex"), "why", home.id)
    assert (why.thread, [message.text for message in why.messages], why.confirmed_by) == (
        "second",
        ["I live in Lisbon."],
        (),
    )
    assert await left(life) == ["I live in Lisbon.", "Noted, number 3."]


async def test_what_an_abandoned_fact_had_ended_is_current_again(life: Life) -> None:
    await life.say("I moved to Porto.")
    await life.flush()
    assert await values(life) == ["Porto", "tea"]
    await say_instead(life, "I prefer milk.", said=4)
    assert await values(life) == ["Lisbon", "milk", "tea"]


async def test_going_back_to_an_old_branch_revives_it(life: Life) -> None:
    (old,) = [s.config for s in await history(life) if len(s.values.get("messages", ())) == 4 and not s.next]
    await say_instead(life, "I live in Porto.")
    config = {"configurable": {**old["configurable"], "user_id": "alex"}}
    await life.call(life.agent, "invoke", {"messages": [("user", "I prefer milk.")]}, config)
    await life.flush()
    assert await values(life) == ["Lisbon", "milk", "tea"]
    assert await left(life) == ["I live in Porto.", "Noted, number 3."]


async def test_answer_made_again_replaces_the_old_one(life: Life) -> None:
    life.chat.replies = lambda _: "Another answer."
    await life.call(life.agent, "invoke", None, await go_back(life, 3, at="respond"))
    await life.flush()
    assert await left(life) == ["Noted, number 3."]
    assert await values(life) == ["Lisbon", "tea"]
    await life.say("Which answer was that?", thread="second")
    assert "Noted, number 3." not in life.prompt


@pytest.mark.parametrize("at", ["recall", "respond"])
async def test_message_edited_under_its_id_is_learned_anew(life: Life, at: str) -> None:
    config = await go_back(life, 3, at=at)
    state = await life.call(life.agent, "get_state", config)
    edited = HumanMessage("I live in Porto.", id=state.values["messages"][-1].id)
    node = {"recall": "__start__", "respond": "recall"}[at]
    forked = await life.call(life.agent, "update_state", config, {"messages": [edited]}, as_node=node)
    config = {"configurable": {**forked["configurable"], "user_id": "alex"}}
    await life.call(life.agent, "invoke", None, config)
    await life.flush()
    assert await values(life) == ["Porto", "tea"]
    assert "I live in Lisbon." not in [message["text"] for message in await log(life)]


async def test_earlier_message_edited_before_the_next_turn_is_learned_anew(life: Life) -> None:
    state = await life.call(life.agent, "get_state", THREAD)
    edited = HumanMessage("I live in Porto.", id=state.values["messages"][2].id)
    await life.call(life.agent, "update_state", THREAD, {"messages": [edited]})
    await life.say("Thank you.")
    await life.flush()
    assert await values(life) == ["Porto", "tea"]
    assert "I live in Lisbon." not in [message["text"] for message in await log(life)]


async def test_pruned_messages_are_not_abandoned_and_positions_go_on(life: Life) -> None:
    state = await life.call(life.agent, "get_state", THREAD)
    pruned = [RemoveMessage(message.id) for message in state.values["messages"]]
    for kept in (2, 0):
        await life.call(life.agent, "update_state", THREAD, {"messages": pruned[: 4 - kept]})
        await life.say(f"I prefer drink {kept}.")
        await life.flush()
        pruned = pruned[4 - kept :]
    assert await left(life) == []
    assert await values(life) == ["Lisbon", "drink 0", "drink 2", "tea"]
    assert [message["position"] for message in await log(life)] == list(range(8))


async def test_two_processes_that_write_at_once_abandon_nothing(life: Life) -> None:
    other = HybridMemory(learning_model(), store=life.memory.store, checkpointer=life.memory.checkpointer)
    agents = [life.agent, other.graph(life.chat)]
    config = await go_back(life, 2)
    config["configurable"].pop("checkpoint_id")
    life.chat.token_delay_seconds = 0.1
    said = [{"messages": [("user", f"I prefer {drink}.")]} for drink in ("milk", "juice")]
    await asyncio.gather(*(life.call(agent, "invoke", each, config) for agent, each in zip(agents, said, strict=True)))
    life.chat.token_delay_seconds = 0.0
    await close(other, life.call.mode)
    await life.say("I prefer water.")
    await life.flush()
    assert await left(life) == []
    assert await values(life) == ["Lisbon", "juice", "milk", "tea", "water"]


async def test_summary_that_reaches_into_an_abandoned_part_is_made_anew(life: Life) -> None:
    await life.say("I prefer milk.")
    await life.say("I prefer juice.")
    await life.flush()
    user = life.memory.for_user("alex")
    assert "Lisbon" in await life.call(user, "summary", "first")
    await say_instead(life, "I live in Porto.")
    assert await life.call(user, "summary", "first") == ""
    for drink in ("water", "cocoa"):
        await life.say(f"I prefer {drink}.")
        await life.flush()
    text = await life.call(user, "summary", "first")
    assert [text.count(words) for words in ("I prefer tea.", "I live in Porto.", "Lisbon", "milk")] == [1, 1, 0, 0]


async def test_first_message_said_otherwise_takes_everything_behind_it_along(life: Life) -> None:
    again = await go_back(life, 0)
    await life.call(life.agent, "invoke", {"messages": [("user", "I prefer cocoa.")]}, again)
    await life.flush()
    assert await values(life) == ["cocoa"]
    assert len(await left(life)) == 4


async def test_log_is_a_tree(life: Life) -> None:
    asked, answer, again, _ = await log(life)
    assert [message["after"] for message in (asked, answer, again)] == [FIRST, asked["id"], answer["id"]]


async def test_what_was_brought_into_a_thread_is_not_abandoned_with_its_first_message(life: Life) -> None:
    await life.call(life.memory.for_user("alex"), "record", [("user", "I prefer milk.")], thread_id="first")
    await life.flush()
    await life.call(life.agent, "invoke", {"messages": [("user", "I prefer cocoa.")]}, await go_back(life, 0))
    await life.flush()
    assert await values(life) == ["cocoa", "milk"]
