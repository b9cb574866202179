"""Whatever happens to a thread: its prompts are valid, nothing is digested twice, and nothing is lost by pruning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_hybrid_memory.budget import is_from_person
from langchain_hybrid_memory.config import BufferConfig
from tests.doubles.histories import TOKEN, Event, Prompt, Removal, Thread, events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import AnyMessage

buffers = st.builds(BufferConfig, max_messages=st.integers(1, 60), max_tokens=st.sampled_from([40, 8_000]))


def pairs(messages: Sequence[AnyMessage]) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """The calls with their results, both by index; then the results without a call; then the calls without a result.

    A result answers the newest call of its id.
    """
    waiting: dict[str | None, int] = {}
    found, orphans, unanswered = [], [], []
    for index, message in enumerate(messages):
        if isinstance(message, AIMessage):
            called = [call["id"] for call in message.tool_calls]
            unanswered += [waiting.pop(each) for each in called if each in waiting]
            waiting |= dict.fromkeys(called, index)
        elif isinstance(message, ToolMessage):
            if message.tool_call_id in waiting:
                found.append((waiting.pop(message.tool_call_id), index))
            else:
                orphans.append(index)
    return found, orphans, [*unanswered, *waiting.values()]


def assert_valid(prompt: Prompt) -> None:
    ids = [message.id for message in prompt.messages]
    shown = [ids.index(message.id) for message in prompt.shown if message.id]
    assert shown == sorted(set(shown)), "order kept"
    _, orphans, unanswered = pairs(prompt.shown)
    assert not orphans, "no result without its call"
    assert not unanswered, "no call without its result"
    people = [message.id for message in prompt.messages if is_from_person(message)]
    assert not people or people[-1] in {message.id for message in prompt.shown}, "the last human message is kept"
    texts = [message.text for message in prompt.messages if isinstance(message, SystemMessage)]
    assert prompt.system is not None
    assert all(text in prompt.system.text for text in ["Be kind.", *texts]), "system messages are kept"
    assert not any(isinstance(message, SystemMessage) for message in prompt.shown)


def assert_nothing_lost(removal: Removal) -> None:
    texts = {str(message.id): message for message in removal.before}
    for key in removal.gone:
        message = texts[key]
        assert not isinstance(message, SystemMessage)
        assert not isinstance(message, HumanMessage) or is_from_person(message)
        if message.text:
            assert removal.logged[key] == message.text, "recorded"
            assert key not in removal.waiting, "extracted"
            assert message.text in removal.folded, "summarized"
    found, _, _ = pairs(removal.before)
    both = [{str(removal.before[index].id) in removal.gone for index in pair} for pair in found]
    assert all(len(fates) == 1 for fates in both), "no call is parted from its result"


def lived(history: list[Event], buffer: BufferConfig) -> Thread:
    thread = Thread(buffer)
    thread.live(history)
    for prompt in thread.prompts:
        assert_valid(prompt)
    assert len(thread.folded) == len(set(thread.folded)), "each message is summarized at most once"
    return thread


def generated(is_full: bool) -> settings:  # noqa: FBT001 - pytest's fixture
    return settings(
        max_examples=10_000 if is_full else 100,
        deadline=None,
        derandomize=not is_full,
        phases=[Phase.generate, Phase.shrink] if is_full else [Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )


histories = st.lists(events, min_size=1, max_size=16)
long_histories = st.lists(events, min_size=12, max_size=24)


@pytest.mark.timeout(3_600)
def test_any_history_makes_valid_prompts_and_stays_as_it_is(is_full: bool) -> None:  # noqa: FBT001 - a fixture
    @generated(is_full)
    @given(histories, buffers)
    def check(history: list[Event], buffer: BufferConfig) -> None:
        thread = lived(history, buffer)
        assert thread.messages == thread.own, "messages in the checkpoint are the application's own"

    check()


@pytest.mark.timeout(3_600)
def test_pruning_of_any_history_removes_only_what_is_summarized_extracted_and_recorded(
    is_full: bool,  # noqa: FBT001 - a fixture
) -> None:
    removed = 0

    @generated(is_full)
    @given(long_histories)
    def check(history: list[Event]) -> None:
        nonlocal removed
        thread = lived(history, BufferConfig(is_pruned=True))
        for removal in thread.removals:
            assert_nothing_lost(removal)
            removed += len(removal.gone)
        gone = {key for removal in thread.removals for key in removal.gone}
        left = [message for message in thread.own if message.id not in gone]
        assert [m for m in thread.messages if m.id not in gone] == left, "all else stays as it is"
        assert all(TOKEN.search(message.text) or message.text == "" for message in thread.messages)

    check()
    assert removed > 20, "the histories are long enough for something to be pruned"
