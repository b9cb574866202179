"""The turn graph recalls, responds and records, in this order, around the user's model as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from langchain_hybrid_memory import ConfigurationError, HybridMemory
from tests.doubles.doors import Door
from tests.doubles.life import Life, configured, learning_model, store_in_memory, talking_model

if TYPE_CHECKING:
    from tests.doubles.doors import Mode
    from tests.doubles.scripted import ScriptedChatModel


def remembering(**options: Any) -> HybridMemory:
    return HybridMemory(learning_model(), **{"store": store_in_memory(), "checkpointer": InMemorySaver(), **options})


def live(mode: Mode, chat: ScriptedChatModel | None = None, **options: Any) -> Life:
    memory, chat = remembering(), chat or talking_model()
    return Life(memory, memory.graph(chat, **options), chat, Door(mode))


async def logged(life: Life) -> list[str]:
    found = await life.call(life.memory.store, "search", ("memory", "user", "alex", "messages"), limit=100)
    return [item.value["text"] for item in sorted(found, key=lambda item: item.value["position"])]


def test_steps_follow_each_other() -> None:
    drawn = remembering().graph(talking_model()).get_graph()
    edges = [(edge.source, edge.target) for edge in drawn.edges]
    assert edges == [
        *(("__start__", "recall"), ("recall", "respond"), ("respond", "record"), ("record", "__end__")),
    ]


def test_input_and_output_are_the_messages_alone() -> None:
    graph = remembering().graph(talking_model())
    assert list(graph.get_input_jsonschema()["properties"]) == ["messages"]
    assert list(graph.get_output_jsonschema()["properties"]) == ["messages"]


@pytest.mark.parametrize("prompt", ["Be brief.", SystemMessage("Be brief.")])
async def test_system_prompt_leads_every_prompt_and_is_not_kept(mode: Mode, prompt: Any) -> None:
    life = live(mode, system_prompt=prompt)
    for text in ("I live in Lisbon.", "I prefer tea."):
        await life.say(text)
        system, *_ = life.chat.calls[-1].messages
        assert (system.type, system.text) == ("system", "Be brief.")
    state = await life.call(life.agent, "get_state", configured("alex", "first"))
    assert [message.type for message in state.values["messages"]] == ["human", "ai"] * 2
    assert "Be brief." not in await logged(life)


async def test_model_keeps_what_is_bound_to_it(mode: Mode) -> None:
    @tool
    def weather(city: str) -> str:
        """Tell the weather."""
        return city

    memory, chat = remembering(), talking_model()
    graph: Any = memory.graph(chat.bind_tools([weather]))
    await Door(mode)(graph, "invoke", {"messages": [("user", "Hi.")]}, configured("alex", "first"))
    assert chat.calls[0].tools == ("weather",)


def test_unknown_model_is_refused_when_the_graph_is_built() -> None:
    with pytest.raises(ConfigurationError, match="cannot use the chat model 'nobody:nothing'"):
        remembering().graph("nobody:nothing")


async def test_turn_that_is_resumed_is_on_record_once(mode: Mode) -> None:
    life = live(mode, talking_model(failures={("chat", 0): TimeoutError()}))
    with pytest.raises(TimeoutError):
        await life.say("I live in Lisbon.")
    await life.call(life.agent, "invoke", None, configured("alex", "first"))
    assert await logged(life) == ["I live in Lisbon.", "Noted, number 1."]
    assert (await life.flush()).pending == 0
    assert [fact.value for fact in await life.facts()] == ["Lisbon"]


async def test_several_messages_in_one_input_are_all_on_record(mode: Mode) -> None:
    life = live(mode)
    said = [HumanMessage("I live in Lisbon."), AIMessage("Nice."), HumanMessage("I prefer tea."), HumanMessage("OK?")]
    await life.call(life.agent, "invoke", {"messages": said}, configured("alex", "first"))
    assert await logged(life) == ["I live in Lisbon.", "Nice.", "I prefer tea.", "OK?", "Noted, number 4."]


async def test_thread_older_than_its_memory_is_swept_up(mode: Mode) -> None:
    life = live(mode)
    old = {"messages": [HumanMessage("I live in Lisbon."), AIMessage("Nice.")]}
    await life.call(life.agent, "update_state", configured("alex", "first"), old, as_node="record")
    await life.say("I prefer tea.")
    assert await logged(life) == ["I live in Lisbon.", "Nice.", "I prefer tea.", "Noted, number 3."]


async def test_two_equal_messages_are_two(mode: Mode) -> None:
    life = live(mode)
    for _ in range(2):
        await life.say("OK")
    assert (await life.flush()).pending == 0
    assert (await logged(life)).count("OK") == 2


@pytest.mark.parametrize("text", ["", "   ", "\n"])
async def test_message_without_words_is_answered_and_not_kept(mode: Mode, text: str) -> None:
    life = live(mode)
    assert await life.say(text) == "Noted, number 1."
    assert await logged(life) == ["Noted, number 1."]
    assert (await life.flush()).pending == 0


async def test_message_made_of_blocks_is_kept_by_its_text_and_shown_with_its_image(mode: Mode) -> None:
    life = live(mode)
    await life.say("I live in Lisbon.", thread="other")
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    asked = HumanMessage([{"type": "text", "text": "Is this where I live?"}, image])
    await life.call(life.agent, "invoke", {"messages": [asked]}, configured("alex", "first"))
    content: Any = life.chat.calls[-1].messages[-1].content
    block, text, shown = content
    assert "I live in Lisbon" in block["text"]
    assert (text, shown) == (asked.content[0], image)
    assert "Is this where I live? [image]" in await logged(life)


async def test_edited_message_does_not_see_what_was_recalled_for_the_old_one(mode: Mode) -> None:
    life = live(mode)
    await life.say("I live in Lisbon.", thread="other")
    await life.say("Where do I live?")
    config = configured("alex", "first")
    state = await life.call(life.agent, "get_state", config)
    edited = HumanMessage("What is two and two?", id=state.values["messages"][0].id)
    await life.call(life.agent, "update_state", config, {"messages": [edited]}, as_node="recall")
    await life.call(life.agent, "invoke", None, config)
    assert "Lisbon" not in life.prompt


async def test_what_a_middleware_inserted_is_not_on_record(mode: Mode) -> None:
    life = live(mode)
    inserted = HumanMessage("I live in Rome.", additional_kwargs={"lc_source": "summarization"})
    said = {"messages": [inserted, HumanMessage("I live in Lisbon.")]}
    await life.call(life.agent, "invoke", said, configured("alex", "first"))
    await life.flush()
    assert await logged(life) == ["I live in Lisbon.", "Noted, number 2."]
    assert [fact.value for fact in await life.facts()] == ["Lisbon"]


async def test_unknown_switch_is_refused(mode: Mode) -> None:
    life = live(mode)
    with pytest.raises(ConfigurationError, match=r'configurable\["memory"\] is \'yes\'; use "on", "read" or "off"'):
        await life.say("Hi.", memory="yes")


async def test_switched_off_turn_needs_no_user(mode: Mode) -> None:
    life = live(mode)
    assert await life.say("Hi.", user=None, memory="off") == "Noted, number 1."
    assert not await life.call(life.memory.store, "search", ("memory",))


async def test_no_model_call_of_ours_before_the_answer_and_one_embedding(mode: Mode) -> None:
    """Law 3: what a turn costs before its first token."""
    brain, chat = learning_model(), talking_model()
    memory = HybridMemory(brain, store=store_in_memory(), extraction="manual")
    embedding: Any = memory.store.index_config["embed"]  # type: ignore[attr-defined]  # InMemoryStore's own
    life = Life(memory, memory.graph(chat), chat, Door(mode))
    before: list[tuple[int, int]] = []
    chat.replies = lambda _: before.append((len(brain.calls), len(embedding.calls))) or "Noted."  # type: ignore[func-returns-value]  # it returns None on purpose
    await life.say("I live in Lisbon.")
    assert before == [(0, 1)]
