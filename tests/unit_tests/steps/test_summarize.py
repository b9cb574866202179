"""What leaves the window is folded into the summary: each message once, no turn torn."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_hybrid_memory import _flow
from langchain_hybrid_memory.budget import approximate_tokens
from langchain_hybrid_memory.config import SummaryConfig
from langchain_hybrid_memory.errors import ExtractionError
from langchain_hybrid_memory.prompts.summary import summary_prompt
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.extract import Meter
from langchain_hybrid_memory.steps.summarize import choose_leaving, summarize
from tests.doubles.builders import ALEX, keep, said
from tests.doubles.scripted import ScriptedChatModel
from tests.doubles.stores import LyingStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import BaseMessage

    from langchain_hybrid_memory.records import StoredMessage, StoredSummary
    from tests.doubles.stores import WatchedStore
    from tests.unit_tests.steps.conftest import Driver

TOKEN = re.compile(r"<[ha]\d+>")


def thread(first: int, last: int, *, words: int = 0) -> list[StoredMessage]:
    """Turns of two messages, each holding a token of its own and so many more words."""
    return [
        said(f"{who}{n}", f"<{who}{n}>" + " word" * words, position=2 * n + (who == "a"), role=role)
        for n in range(first, last + 1)
        for who, role in (("h", "user"), ("a", "assistant"))
    ]


def tokens(first: int, last: int) -> list[str]:
    return [f"<{who}{n}>" for n in range(first, last + 1) for who in "ha"]


def fold(messages: Sequence[BaseMessage]) -> str:
    """Summarize by keeping each token: what was folded in twice stands there twice."""
    return " ".join(TOKEN.findall(messages[-1].text))


def summarizer(**options: Any) -> ScriptedChatModel:
    return ScriptedChatModel(**{"replies": fold} | options)


def digest(store: WatchedStore, scope: Scope = ALEX) -> StoredSummary | None:
    item = store.get(scope.namespace("summaries"), scope.thread_id)
    return cast("StoredSummary", item.value) if item else None


async def fold_in(drive: Driver, store: WatchedStore, model: ScriptedChatModel, **config: Any) -> int:
    settings = SummaryConfig(**{"after_messages": 8, "keep_messages": 3, "after_tokens": 10_000} | config)
    before, meter = len(model.calls), Meter()
    try:
        folded = await drive(summarize(ALEX, store, model, config=settings, count=approximate_tokens, meter=meter))
    finally:
        assert meter.usage.calls == len(model.calls) - before, "failed calls are counted too"
    return folded


def left(messages: Sequence[StoredMessage], **config: Any) -> list[str]:
    settings = SummaryConfig(**{"after_messages": 8, "keep_messages": 3, "after_tokens": 10_000} | config)
    return [message["id"] for message in choose_leaving(messages, config=settings, count=approximate_tokens)]


@pytest.mark.parametrize(("turns", "folded"), [(0, []), (3, []), (4, ["h1", "a1", "h2", "a2"])])
def test_messages_leave_once_there_are_enough(turns: int, folded: list[str]) -> None:
    assert left(thread(1, turns)) == folded


def test_messages_leave_once_they_hold_enough_tokens() -> None:
    few = thread(1, 3, words=100)
    assert left(few, after_tokens=10_000) == []
    assert left(few, after_tokens=300, keep_messages=2) == ["h1", "a1", "h2", "a2"]


def test_recent_messages_are_kept() -> None:
    assert len(left(thread(1, 10), keep_messages=1)) == 18, "the newest turn stays whole"
    assert len(left(thread(1, 10), keep_messages=7)) == 12
    assert left(thread(1, 1, words=1_000), after_tokens=1) == []


roles = st.lists(st.sampled_from(["user", "assistant", "tool"]), max_size=30)


@settings(max_examples=300, deadline=None)
@given(roles, st.integers(1, 9), st.integers(0, 12))
def test_no_turn_is_torn(roles: list[str], keep_messages: int, more: int) -> None:
    messages = [said(f"m{n}", "word", role=role, position=n) for n, role in enumerate(roles)]
    config = SummaryConfig(after_messages=keep_messages + 1 + more, keep_messages=keep_messages)
    leaving = choose_leaving(messages, config=config, count=approximate_tokens)
    assert leaving == messages[: len(leaving)]
    assert not leaving or len(messages) - len(leaving) >= keep_messages
    assert not leaving or messages[len(leaving)]["role"] == "user"


async def test_below_the_threshold_nothing_is_asked(drive: Driver, store: WatchedStore) -> None:
    keep(store, *thread(1, 3))
    model = summarizer()
    assert await fold_in(drive, store, model) == 0
    assert (model.calls, digest(store)) == ([], None)


async def test_summary_says_how_far_it_reaches(drive: Driver, store: WatchedStore) -> None:
    keep(store, *thread(1, 4))
    assert await fold_in(drive, store, summarizer()) == 4
    assert digest(store) == {"text": "<h1> <a1> <h2> <a2>", "through_id": "a2", "through_position": 5, "messages": 4}


async def test_each_message_is_folded_in_once_over_many_rounds(drive: Driver, store: WatchedStore) -> None:
    model = summarizer()
    for n in range(1, 31):
        keep(store, *thread(n, n))
        await fold_in(drive, store, model)
    known = digest(store)
    assert known is not None
    assert known["text"].split() == tokens(1, known["messages"] // 2)
    assert 1 < len(model.calls) < 30
    assert known["through_id"] == f"a{known['messages'] // 2}"


async def test_summary_so_far_goes_into_the_next(drive: Driver, store: WatchedStore) -> None:
    keep(store, *thread(1, 4))
    model = summarizer()
    await fold_in(drive, store, model)
    keep(store, *thread(5, 8))
    await fold_in(drive, store, model)
    assert "Summary so far:\n<h1> <a1> <h2> <a2>\n" in model.calls[1].prompt
    assert "New messages:\n2024-05-20, user: <h3>\n" in model.calls[1].prompt


async def test_summarizing_again_without_new_messages_asks_nothing(drive: Driver, store: WatchedStore) -> None:
    keep(store, *thread(1, 4))
    model = summarizer()
    assert [await fold_in(drive, store, model), await fold_in(drive, store, model)] == [4, 0]
    assert len(model.calls) == 1


BACKLOG = {"after_tokens": 300, "summary_tokens": 2_000}


async def test_long_backlog_is_folded_in_portions_between_turns(drive: Driver, store: WatchedStore) -> None:
    keep(store, *thread(1, 20, words=60))
    model = summarizer()
    assert await fold_in(drive, store, model, **BACKLOG) == 36
    known = digest(store)
    assert known is not None
    assert known["text"].split() == tokens(1, 18)
    assert len(model.calls) > 3
    for call in model.calls:
        new = TOKEN.findall(call.prompt.split("New messages:")[1])
        assert (new[0][1], new[-1][1]) == ("h", "a")


async def test_interrupted_backlog_goes_on_where_it_stopped(drive: Driver, store: WatchedStore) -> None:
    keep(store, *thread(1, 20, words=60))
    model = summarizer(failures={("chat", 2): TimeoutError("slow")})
    with pytest.raises(TimeoutError):
        await fold_in(drive, store, model, **BACKLOG)
    half = digest(store)
    assert half is not None
    assert half["through_id"].startswith("a"), "no turn is torn"
    await fold_in(drive, store, model, **BACKLOG)
    known = digest(store)
    assert known is not None
    assert known["text"].split() == tokens(1, 18)
    assert known["messages"] == 36


async def test_turn_too_long_for_one_call_is_split_and_a_message_cut(drive: Driver, store: WatchedStore) -> None:
    long = [
        said("h1", "<h1>" + " word" * 5_000, position=0),
        said("a1", "<a1>" + " word" * 200, position=1, role="assistant"),
    ]
    keep(store, *long, *(message | {"position": message["position"] + 9} for message in thread(2, 5)))
    model = summarizer()
    await fold_in(drive, store, model, **BACKLOG)
    known = digest(store)
    assert known is not None
    assert known["text"].split()[:2] == ["<h1>", "<a1>"]
    assert max(approximate_tokens(call.messages[-1].text) for call in model.calls) < 700


@pytest.mark.parametrize("empty", ["", "  \n "])
async def test_empty_answer_keeps_the_old_summary(drive: Driver, store: WatchedStore, empty: str) -> None:
    keep(store, *thread(1, 4))
    await fold_in(drive, store, summarizer())
    before = digest(store)
    keep(store, *thread(5, 8))
    with pytest.raises(ExtractionError, match="empty summary"):
        await fold_in(drive, store, summarizer(replies=lambda _: empty))
    assert digest(store) == before


async def test_rambling_answer_is_cut(drive: Driver, store: WatchedStore) -> None:
    keep(store, *thread(1, 4))
    await fold_in(drive, store, summarizer(replies=lambda _: "word " * 5_000), summary_tokens=50)
    known = digest(store)
    assert known is not None
    assert approximate_tokens(known["text"]) <= 100


async def test_messages_themselves_stay_on_record(drive: Driver, store: WatchedStore) -> None:
    keep(store, *thread(1, 4))
    before = store.search(ALEX.namespace("messages"), limit=100)
    await fold_in(drive, store, summarizer())
    assert store.search(ALEX.namespace("messages"), limit=100) == before


async def test_other_threads_and_users_are_not_folded_in(drive: Driver, store: WatchedStore) -> None:
    keep(store, *thread(1, 4))
    keep(store, *(message | {"thread": "t2"} for message in thread(11, 19)))
    keep(store, *thread(21, 29), scope=Scope(user_id="sam"))
    await fold_in(drive, store, summarizer())
    known = digest(store)
    assert known is not None
    assert known["text"].split() == tokens(1, 2)


async def test_foreign_item_that_a_store_returns_is_not_folded_in(drive: Driver) -> None:
    sam = Scope(user_id="sam", thread_id="t1")
    foreign = {"text": "Sam lives in Rome.", "through_id": "a9", "through_position": 3, "messages": 4}
    store = LyingStore(
        (sam.namespace("summaries"), "t1", foreign),
        (sam.thread_messages("t1"), "h0", dict(said("h0", "<h0>", position=0))),
    )
    keep(store, *thread(1, 4))
    await fold_in(drive, store, summarizer())
    known = digest(store)
    assert known is not None
    assert known["text"].split() == tokens(1, 2)


async def test_thread_of_several_pages_is_read_whole(
    drive: Driver, store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_flow, "PAGE", 7)
    keep(store, *thread(1, 14))
    await fold_in(drive, store, summarizer())
    known = digest(store)
    assert known is not None
    assert known["text"].split() == tokens(1, 12)


def test_prompt_asks_for_a_length_in_words() -> None:
    rules, asked = summary_prompt("", thread(1, 1), summary_tokens=400)
    assert "at most 300 words" in rules.text
    assert asked.text == (
        "Summary so far:\nnone\n\nNew messages:\n2024-05-20, user: <h1>\n2024-05-20, assistant: <a1>\n\nSummary:"
    )
