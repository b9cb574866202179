"""Forgetting is total, stops at the user's border, and says honestly what it could not reach."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver

from langchain_hybrid_memory import _flow as module
from langchain_hybrid_memory.config import ExtractConfig
from langchain_hybrid_memory.records import StoredThread
from langchain_hybrid_memory.scope import KINDS, Scope
from langchain_hybrid_memory.steps.consolidate import consolidate
from langchain_hybrid_memory.steps.forget import forget_fact, forget_message
from langchain_hybrid_memory.steps.forget_everything import forget_everything
from langchain_hybrid_memory.steps.ground import is_quoted, without_quote
from langchain_hybrid_memory.steps.index import index
from langchain_hybrid_memory.steps.load import load
from langchain_hybrid_memory.steps.marks import BLANK
from langchain_hybrid_memory.steps.record import append, record, utterances
from langchain_hybrid_memory.store import ChromaStore
from tests.doubles.builders import (
    ALEX,
    NOW,
    ai,
    entry,
    extracted,
    extraction,
    facts_in,
    human,
    iso,
    keep,
    know,
    known_fact,
    lives_in,
    messages_in,
    queue_of,
    said,
    turns,
)
from tests.doubles.stores import LyingStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langchain_core.messages import AnyMessage
    from langgraph.store.base import BaseStore

    from langchain_hybrid_memory.prompts.extraction import ExtractedFact
    from langchain_hybrid_memory.state import MemoryState
    from tests.doubles.embedding import WordEmbedding
    from tests.doubles.stores import WatchedStore
    from tests.unit_tests.steps.conftest import Driver

SAM = Scope(user_id="alex@example.com.sam", thread_id="t1")
QUOTE = "I live in Lisbon"


async def recorded(drive: Driver, store: BaseStore, *messages: AnyMessage, scope: Scope = ALEX) -> None:
    await drive(append(utterances(messages, now=NOW), scope, store, now=NOW))


async def learned(drive: Driver, store: BaseStore, message_id: str, *facts: ExtractedFact) -> list[str]:
    """Extract facts from one message on record; the keys of the new ones."""
    message = messages_in(store)[message_id]
    flow = consolidate(ALEX, store, [message], extraction(*facts), neighbors=[], config=ExtractConfig(), now=NOW)
    return (await drive(flow)).added


def everything_of(store: BaseStore, scope: Scope = ALEX) -> str:
    """All that is stored about a user, as text."""
    items = [*store.search(scope.home, limit=10_000), *store.search(scope.pending, limit=10_000)]
    return json.dumps([(item.namespace, item.key, item.value) for item in items])


async def test_forgotten_fact_and_its_words_are_gone(drive: Driver, store: WatchedStore) -> None:
    await recorded(drive, store, human("h1", "Hi! I live in\n Lisbon, by the sea."), ai("a1", "Nice"), human("h2"))
    (key,) = await learned(drive, store, "h1", lives_in("Lisbon"))
    receipt = await drive(forget_fact(ALEX, store, key, now=NOW))
    assert facts_in(store) == {}
    assert messages_in(store)["h1"]["text"] == f"Hi! {BLANK}, by the sea."
    assert "Lisbon" not in everything_of(store)
    assert receipt.removed == {"facts": 1, "quotes": 1}
    assert "t1" in receipt.remaining[0]


async def test_words_are_gone_from_the_context_of_the_message_after(drive: Driver, store: WatchedStore) -> None:
    await recorded(drive, store, human("h1", QUOTE), human("h2", "And you?"))
    (key,) = await learned(drive, store, "h1", lives_in("Lisbon"))
    await drive(forget_fact(ALEX, store, key, now=NOW))
    assert messages_in(store)["h2"]["context"] == BLANK
    assert messages_in(store)["h2"]["text"] == "And you?"


async def test_words_from_before_an_edit_are_gone_from_the_context_of_the_message_after(
    drive: Driver, store: WatchedStore
) -> None:
    await recorded(drive, store, human("h1", "My rash itches."), human("h2", "And you?"))
    await recorded(drive, store, human("h1", "Never mind."), human("h2", "And you?"))
    assert messages_in(store)["h2"]["context"] == "My rash itches."
    await drive(forget_message(ALEX, store, "h1", now=NOW))
    assert "rash" not in everything_of(store)


async def test_message_behind_the_same_words_of_another_keeps_its_context(drive: Driver, store: WatchedStore) -> None:
    await recorded(drive, store, human("h1", "ok"), human("h2", "One."), human("h3", "ok"), human("h4", "Two."))
    await drive(forget_message(ALEX, store, "h1", now=NOW))
    assert [messages_in(store)[name]["context"] for name in ("h2", "h4")] == [BLANK, "ok"]


async def test_words_said_twice_in_a_message_are_gone_twice(drive: Driver, store: WatchedStore) -> None:
    await recorded(drive, store, human("h1", f"{QUOTE}. Yes, i LIVE in lisbon!"))
    (key,) = await learned(drive, store, "h1", lives_in("Lisbon"))
    await drive(forget_fact(ALEX, store, key, now=NOW))
    assert messages_in(store)["h1"]["text"] == f"{BLANK}. Yes, {BLANK}!"


async def test_words_are_gone_from_the_quotes_of_other_facts(drive: Driver, store: WatchedStore) -> None:
    await recorded(drive, store, human("h1", "My friend Sarah works at Google as an engineer, I like it"))
    whole = "Sarah works at Google as an engineer"
    facts = [
        extracted(whole, subject="Sarah", attribute="employer", value="Google", fact="Sarah has an employer."),
        extracted("as an engineer", subject="Sarah", attribute="occupation", value="engineer", fact="Sarah builds."),
        extracted(f"{whole}, I like it", attribute="opinion", value="likes it", fact="The user likes it."),
        extracted("I like it", attribute="other", value="it", fact="It is liked."),
    ]
    keys = await learned(drive, store, "h1", *facts)
    await drive(forget_fact(ALEX, store, keys[0], now=NOW))
    quotes = {fact["text"]: fact["quote"] for fact in facts_in(store).values()}
    assert quotes == {
        "Sarah builds.": BLANK,
        "The user likes it.": f"{BLANK}, I like it",
        "It is liked.": "I like it",
    }
    assert "Google" not in everything_of(store)


async def test_forgotten_fact_cannot_be_drawn_again(drive: Driver, store: WatchedStore) -> None:
    await recorded(drive, store, human("h1", QUOTE))
    (key,) = await learned(drive, store, "h1", lives_in("Lisbon"))
    await drive(forget_fact(ALEX, store, key, now=NOW))
    assert await learned(drive, store, "h1", lives_in("Lisbon")) == []
    assert facts_in(store) == {}


async def test_forgotten_words_are_not_found_by_meaning(drive: Driver, store: WatchedStore) -> None:
    keep(store, said("m0", QUOTE))
    know(store, f1=known_fact("The user lives in Lisbon.", quote=QUOTE))
    await drive(forget_fact(ALEX, store, "f1", now=NOW))
    hits = store.search(ALEX.home, query=QUOTE)
    assert all((hit.score or 0) < 0.3 for hit in hits)


async def test_what_the_fact_had_ended_is_current_again(drive: Driver, store: WatchedStore) -> None:
    know(
        store,
        old=known_fact("The user lives in Lisbon.", superseded_by="new", invalid_at=iso(1), message_ids=["m1"]),
        new=known_fact("The user lives in Porto."),
    )
    await drive(forget_fact(ALEX, store, "new", now=NOW))
    (old,) = facts_in(store).values()
    assert (old["superseded_by"], old["invalid_at"]) == (None, None)


async def test_forgetting_the_middle_of_a_history_brings_back_nothing_outdated(
    drive: Driver, store: WatchedStore
) -> None:
    know(
        store,
        a=known_fact("The user lives in Lisbon.", superseded_by="b", invalid_at=iso(1)),
        b=known_fact("The user lives in Porto.", superseded_by="c", invalid_at=iso(2)),
        c=known_fact("The user lives in Rome."),
    )
    await drive(forget_fact(ALEX, store, "b", now=NOW))
    assert [key for key, fact in facts_in(store).items() if fact["superseded_by"] is None] == ["c"]


async def test_summary_that_may_repeat_it_is_gone_and_others_stay(drive: Driver, store: WatchedStore) -> None:
    for thread in ("t1", "t2"):
        store.put(ALEX.namespace("summaries"), thread, {"text": "Alex lives in Lisbon."}, index=False)
    know(store, f1=known_fact("The user lives in Lisbon."))
    await drive(forget_fact(ALEX, store, "f1", now=NOW))
    assert [item.key for item in store.search(ALEX.namespace("summaries"))] == ["t2"]


async def test_other_messages_stay_as_they_are(drive: Driver, store: WatchedStore) -> None:
    await recorded(drive, store, human("h1", QUOTE), *turns(2, 3))
    (key,) = await learned(drive, store, "h1", lives_in("Lisbon"))
    before = messages_in(store)
    await drive(forget_fact(ALEX, store, key, now=NOW))
    changed = {message_id for message_id, message in messages_in(store).items() if message != before[message_id]}
    assert changed == {"h1", "h2"}
    assert messages_in(store)["h2"]["text"] == before["h2"]["text"]


@pytest.mark.parametrize("fact_id", ["nothing", "", "f1"])
async def test_fact_that_is_not_the_users_is_not_forgotten(drive: Driver, store: WatchedStore, fact_id: str) -> None:
    know(store, SAM, f1=known_fact("The user lives in Rome."))
    receipt = await drive(forget_fact(ALEX, store, fact_id, now=NOW))
    assert (receipt.removed, receipt.remaining) == ({}, ())
    assert list(facts_in(store, SAM)) == ["f1"]
    assert len(store.writes) == 1


async def test_foreign_fact_that_a_store_returns_is_not_touched(drive: Driver) -> None:
    store = LyingStore((SAM.namespace("facts"), "f1", dict(known_fact("The user lives in Rome."))))
    assert (await drive(forget_fact(ALEX, store, "f1", now=NOW))).removed == {}
    assert not store.writes


async def test_interrupted_forgetting_can_be_done_again(drive: Driver, store: WatchedStore) -> None:
    await recorded(drive, store, human("h1", QUOTE))
    (key,) = await learned(drive, store, "h1", lives_in("Lisbon"))
    store.forget_calls()
    store.fails_from = 3
    with pytest.raises(ConnectionError):
        await drive(forget_fact(ALEX, store, key, now=NOW))
    store.fails_from = None
    await drive(forget_fact(ALEX, store, key, now=NOW))
    assert "Lisbon" not in everything_of(store)


@pytest.mark.parametrize(
    ("text", "quote", "expected"),
    [
        ("Ich wohne in der Straße 7", "in der STRASSE", f"Ich wohne {BLANK} 7"),
        ("İstanbul and İzmir, I live in Lisbon now", QUOTE, f"İstanbul and İzmir, {BLANK} now"),
        ("a  b\nc", "B C", f"a {BLANK}"),
        ("spaces  stay", "nothing", "spaces  stay"),
        ("empty", " ", "empty"),
    ],
)
def test_quote_is_blanked_where_grounding_found_it(text: str, quote: str, expected: str) -> None:
    assert without_quote(text, quote, blank=BLANK) == expected


awkward = st.text("aAsSßİi\u0307 \n.ﬁ", max_size=6)


@settings(max_examples=500, deadline=None)
@given(awkward, awkward.filter(str.strip), awkward)
def test_blanked_quote_is_never_left_over(before: str, quote: str, after: str) -> None:
    left = without_quote(f"{before} {quote} {after}", quote, blank=BLANK)
    assert BLANK in left
    assert not any(is_quoted(quote, part) for part in left.split(BLANK))


def fill(store: BaseStore, scope: Scope, *, count: int = 3) -> None:
    """Something of every kind."""
    for n in range(count):
        keep(store, said(f"m{n}", f"secret {n}", thread=f"t{n}"), scope=scope)
        know(store, scope, **{f"f{n}": known_fact(f"The secret {n}.")})
        store.put(scope.namespace("entities"), f"sarah {n}", {"name": "secret"}, index=False)
        store.put(scope.namespace("summaries"), f"t{n}", {"text": "secret"}, index=False)
        store.put(scope.namespace("forgotten"), f"m{n}", {"quotes": []}, index=False)
        store.put((*scope.stage, "facts"), f"f{n}", {"text": "secret"}, index=False)
        store.put(scope.namespace("threads"), f"t{n}", dict(StoredThread(last_at=iso(0), length=1)), index=False)
        store.put(scope.namespace("usage"), f"day {n}", {"tokens": 1}, index=False)
        pending: Any = entry(f"e{n}", f"m{n}", user=scope.user_id)
        store.put(scope.pending, f"e{n}-m{n}", pending, index=False)


def checkpointed(*threads: str) -> InMemorySaver:
    saver = InMemorySaver()
    for thread in threads:
        config = RunnableConfig(configurable={"thread_id": thread, "checkpoint_ns": ""})
        saver.put(config, empty_checkpoint(), {}, {})
    return saver


def threads_in(saver: InMemorySaver) -> set[str]:
    return {str(found.config["configurable"]["thread_id"]) for found in saver.list(None)}


async def test_forgetting_everything_leaves_nothing(drive: Driver, store: WatchedStore) -> None:
    fill(store, ALEX)
    saver = checkpointed("t0", "t1", "t2", "sams")
    receipt = await drive(forget_everything(ALEX, store, saver))
    assert everything_of(store) == "[]"
    assert threads_in(saver) == {"sams"}
    assert receipt.removed == dict.fromkeys([*KINDS, "queue entries", "checkpointed threads"], 3)
    assert receipt.remaining == ()


async def test_other_users_are_not_touched(drive: Driver, store: WatchedStore) -> None:
    neighbors = [SAM, Scope(user_id="alex"), Scope(user_id="Alex@example.com"), Scope(user_id="alex@example.co")]
    for scope in (ALEX, *neighbors):
        fill(store, scope)
    before = [everything_of(store, scope) for scope in neighbors]
    await drive(forget_everything(ALEX, store, None))
    assert [everything_of(store, scope) for scope in neighbors] == before
    assert everything_of(store) == "[]"


async def test_receipt_admits_checkpoints_it_could_not_reach(drive: Driver, store: WatchedStore) -> None:
    fill(store, ALEX)
    receipt = await drive(forget_everything(ALEX, store, None))
    assert receipt.remaining == ("checkpoints of 3 threads: no checkpointer was given",)
    assert "checkpointed threads" not in receipt.removed


async def test_user_without_memory_is_forgotten_too(drive: Driver, store: WatchedStore) -> None:
    receipt = await drive(forget_everything(ALEX, store, None))
    assert repr(receipt) == "<Receipt removed nothing>"


async def test_more_than_one_page_is_forgotten(
    drive: Driver, store: WatchedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 4)
    fill(store, ALEX, count=13)
    receipt = await drive(forget_everything(ALEX, store, None))
    assert everything_of(store) == "[]"
    assert receipt.removed["messages"] == 13


async def test_page_of_foreign_items_neither_stops_nor_spreads_it(
    drive: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    foreign = [(SAM.thread_messages("t0"), f"m{n}", dict(said(f"m{n}", "Sam's"))) for n in range(1)]
    store = LyingStore(*foreign)
    fill(store, ALEX, count=5)
    store.forget_calls()
    await drive(forget_everything(ALEX, store, None))
    assert {op.namespace[2] for ops in store.writes for op in ops} == {ALEX.home[2]}
    store.foreign = ()
    assert everything_of(store) == "[]"


async def test_interrupted_everything_is_finished_by_doing_it_again(drive: Driver, store: WatchedStore) -> None:
    fill(store, ALEX)
    saver = checkpointed("t0", "t1", "t2")
    store.forget_calls()
    store.fails_from = 4
    with pytest.raises(ConnectionError):
        await drive(forget_everything(ALEX, store, saver))
    store.fails_from = None
    assert len(store.search(ALEX.namespace("threads"))) == 3, "the list of threads goes last"
    await drive(forget_everything(ALEX, store, saver))
    assert everything_of(store) == "[]"
    assert queue_of(store) == {}


@pytest.fixture
def chroma(tmp_path: Path, embedding: WordEmbedding) -> Iterator[ChromaStore]:
    """A store on disk."""
    index: Any = {"embed": embedding, "dims": embedding.dimensions, "fields": ["text"]}
    with ChromaStore.open(tmp_path / "memory", index=index, keywords=["speaker", "text", "context"]) as opened:
        yield opened


async def test_chroma_forgets_a_fact_by_meaning_and_by_word(drive: Driver, chroma: ChromaStore) -> None:
    await recorded(drive, chroma, human("h1", QUOTE), ai("a1", "I see"))
    (key,) = await learned(drive, chroma, "h1", lives_in("Lisbon"))
    await drive(forget_fact(ALEX, chroma, key, now=NOW))
    found = chroma.search(ALEX.home, query="Lisbon", limit=10)
    assert "Lisbon" not in everything_of(chroma)
    assert all(getattr(hit, "signals", None) is None or hit.signals.keyword == 0 for hit in found)  # type: ignore[attr-defined]


async def test_chroma_forgets_everything_of_one_user(drive: Driver, chroma: ChromaStore) -> None:
    fill(chroma, ALEX)
    fill(chroma, SAM)
    await drive(forget_everything(ALEX, chroma, None))
    assert everything_of(chroma) == "[]"
    assert len(messages_in(chroma, SAM)) == 3


AGAIN = "Yes, I live in Lisbon, as I said"


async def twice(drive: Driver, store: BaseStore) -> str:
    """Say where one lives in two threads; the key of the fact."""
    await recorded(drive, store, human("h1", f"{QUOTE}. I like tea."))
    await recorded(drive, store, human("h9", AGAIN), scope=Scope(user_id=ALEX.user_id, thread_id="t9"))
    (key,) = await learned(drive, store, "h1", lives_in("Lisbon"))
    await learned(drive, store, "h9", lives_in("Lisbon"))
    return key


async def test_words_that_confirmed_a_forgotten_fact_are_gone_too(drive: Driver, store: WatchedStore) -> None:
    key = await twice(drive, store)
    receipt = await drive(forget_fact(ALEX, store, key, now=NOW))
    assert "Lisbon" not in everything_of(store)
    assert receipt.removed == {"facts": 1, "quotes": 2}
    assert len(receipt.remaining) == 2


async def test_mark_holds_no_words(drive: Driver, store: WatchedStore) -> None:
    key = await twice(drive, store)
    await drive(forget_fact(ALEX, store, key, now=NOW))
    marks = json.dumps([item.value for item in store.search(ALEX.namespace("forgotten"))]).casefold()
    assert len(marks) > 100
    assert not any(word in marks for word in ("lisbon", "live", "residence", "user"))


async def test_forgotten_words_do_not_come_in_again(drive: Driver, store: WatchedStore) -> None:
    key = await twice(drive, store)
    await drive(forget_fact(ALEX, store, key, now=NOW))
    for _ in range(2):
        await recorded(drive, store, human("h1", f"{QUOTE}. I like tea."))
        assert messages_in(store)["h1"]["text"] == f"{BLANK}. I like tea."
    assert "Lisbon" not in everything_of(store)


async def test_claim_is_not_drawn_again_from_other_words_said_before(drive: Driver, store: WatchedStore) -> None:
    tea = {"attribute": "preference", "value": "tea", "fact": "The user likes tea."}
    await recorded(drive, store, human("h1", "I like tea. Tea is great."), human("h2", "Tea again, please"))
    (key,) = await learned(drive, store, "h1", extracted("I like tea", **tea))
    await drive(forget_fact(ALEX, store, key, now=NOW))
    assert await learned(drive, store, "h1", extracted("Tea is great", **tea)) == []
    assert await learned(drive, store, "h2", extracted("Tea again", **tea)) == []


async def test_value_of_a_forgotten_property_is_not_drawn_again_in_other_words(
    drive: Driver, store: WatchedStore
) -> None:
    await recorded(drive, store, human("h1", "I live in Lisbon. Lisboa is great."))
    (key,) = await learned(drive, store, "h1", lives_in("Lisbon"))
    await drive(forget_fact(ALEX, store, key, now=NOW))
    assert await learned(drive, store, "h1", lives_in("Lisboa", "Lisboa is great")) == []


async def test_what_is_said_after_forgetting_is_remembered(drive: Driver, store: WatchedStore) -> None:
    key = await twice(drive, store)
    await drive(forget_fact(ALEX, store, key, now=NOW))
    keep(store, said("m9", QUOTE, at=iso(1)))
    assert await learned(drive, store, "m9", lives_in("Lisbon")) == ["e-m9-0"]


async def test_entity_that_only_a_forgotten_fact_was_about_is_gone(drive: Driver, store: WatchedStore) -> None:
    for name in ("Sarah", "Tom"):
        store.put(ALEX.namespace("entities"), name.casefold(), {"name": name, "aliases": [], "type": "person"})
    know(
        store,
        a=known_fact("Sarah and Tom live in Rome.", subject="sarah", entities=["Sarah", "Tom"]),
        b=known_fact("Tom works at Acme.", subject="tom", entities=["Tom"]),
    )
    receipt = await drive(forget_fact(ALEX, store, "a", now=NOW))
    assert [item.key for item in store.search(ALEX.namespace("entities"))] == ["tom"]
    assert receipt.removed == {"facts": 1, "entities": 1}


async def test_forgetting_drops_a_rebuild_in_progress(drive: Driver, store: WatchedStore) -> None:
    staged = (*ALEX.stage, "facts")
    store.put(staged, "f1", dict(known_fact("The user lives in Lisbon.")))
    know(store, f1=known_fact("The user lives in Lisbon."))
    await drive(forget_fact(ALEX, store, "f1", now=NOW))
    assert store.search(staged) == []


async def test_correction_is_forgotten_with_what_it_corrected(drive: Driver, store: WatchedStore) -> None:
    know(
        store,
        old=known_fact("The user lives in Lisbon.", superseded_by="edit-1-0", invalid_at=iso(1)),
        **{"edit-1-0": known_fact("The user lives in Porto.", episode="edit-1", message_ids=[])},
    )
    await drive(forget_fact(ALEX, store, "edit-1-0", now=NOW))
    assert facts_in(store) == {}


async def test_source_that_confirmed_can_be_forgotten_alone(drive: Driver, store: WatchedStore) -> None:
    know(
        store,
        fact=known_fact("The user lives in Lisbon.", confirmed_at=iso(9), said_at=iso(0)),
        first=known_fact("Lives in Lisbon.", confirms="fact", said_at=iso(5), message_ids=["m5"], episode="e5"),
        last=known_fact("Home is Lisbon.", confirms="fact", said_at=iso(9), message_ids=["m9"], episode="e9"),
    )
    await drive(forget_fact(ALEX, store, "last", now=NOW))
    assert {key: fact["confirmed_at"] for key, fact in facts_in(store).items() if key == "fact"} == {"fact": iso(5)}
    assert set(facts_in(store)) == {"fact", "first"}


async def test_forgotten_source_is_no_longer_noted_with_the_fact_it_confirmed(
    drive: Driver, store: WatchedStore
) -> None:
    keep(store, said("m9", "Home is Lisbon"))
    sources = {name: {"thread": "t1", "message_ids": ["m9"], "quote": "Home is Lisbon"} for name in ("last", "lost")}
    know(
        store,
        fact=known_fact("The user lives in Lisbon.", message_ids=["m1"], more_sources=sources),
        last=known_fact("Home is Lisbon.", confirms="fact", message_ids=["m9"]),
    )
    await drive(forget_message(ALEX, store, "m9", now=NOW))
    assert {key: fact["more_sources"] for key, fact in facts_in(store).items()} == {"fact": {}}


async def test_forgotten_words_do_not_become_the_context_of_what_is_said_next(
    drive: Driver, store: WatchedStore
) -> None:
    state: MemoryState = {"messages": [human("h1", QUOTE)]}
    update: Any = await drive(record(state, ALEX, store, now=NOW))
    state |= update
    (key,) = await learned(drive, store, "h1", lives_in("Lisbon"))
    await drive(forget_fact(ALEX, store, key, now=NOW))
    state["messages"] = [*state["messages"], human("h2", "And you?")]
    await drive(record(state, ALEX, store, now=NOW))
    await drive(index(ALEX, store, await drive(load(ALEX, store))))
    assert messages_in(store)["h2"]["context"] == BLANK


async def test_fact_that_another_message_confirmed_rests_on_that_one(drive: Driver, store: WatchedStore) -> None:
    keep(store, said("m1", "I moved to Porto"))
    know(
        store,
        old=known_fact("The user lives in Lisbon.", superseded_by="new", invalid_at=iso(1), message_ids=["m0"]),
        new=known_fact("The user lives in Porto.", message_ids=["m1"]),
        more=known_fact("Home is Porto.", confirms="new", message_ids=["m2"], said_at=iso(2)),
    )
    await drive(forget_message(ALEX, store, "m1", now=NOW))
    facts = facts_in(store)
    assert {key: (fact["superseded_by"], fact["confirms"]) for key, fact in facts.items()} == {
        "old": ("more", None),
        "more": (None, None),
    }
    assert messages_in(store)["m1"]["text"] == BLANK
