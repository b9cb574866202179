"""Everything learned can be learned again from the messages: aside, at once, and without what was forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from langchain_hybrid_memory import (
    ConfigurationError,
    ExtractConfig,
    ExtractionError,
    Fact,
    HybridMemory,
    Rebuilt,
    SummaryConfig,
)
from langchain_hybrid_memory._flow import run
from langchain_hybrid_memory.hybrid_memory import open_store
from langchain_hybrid_memory.leases import take_lease
from langchain_hybrid_memory.scope import Scope
from tests.doubles.builders import know, known_fact
from tests.doubles.embedding import WordEmbedding
from tests.doubles.life import (
    INTRODUCTION,
    KNOWN,
    SECONDS,
    SharedStore,
    WatchedStore,
    count,
    learning_model,
    puts,
    store_in_memory,
    watch_nothing,
)

if TYPE_CHECKING:
    from pathlib import Path

    from langgraph.store.base import BaseStore, Op

    from tests.doubles.doors import Door
    from tests.doubles.scripted import ScriptedChatModel

DAY = datetime(2026, 5, 4, 9, tzinfo=UTC)
ALEX = Scope(user_id="alex")
ONE_A_CALL = ExtractConfig(batch_tokens=60)
HOMES = ("I live in Lisbon.", "I prefer tea.", "I moved to Porto.", "I moved to Rome.")


class Person:
    """Someone's memory, in this run's spelling."""

    def __init__(
        self, call: Door, model: ScriptedChatModel | None, store: BaseStore | None = None, **options: Any
    ) -> None:
        self.call = call
        self.store = store or store_in_memory()
        self.memory = HybridMemory(model, store=self.store, extraction="manual", **options)
        self.user = self.memory.for_user("alex")

    async def says(self, *texts: str, thread: str = "first", at: datetime = DAY) -> None:
        for number, text in enumerate(texts):
            said = [("user", text), ("assistant", "I see.")]
            await self.call(self.user, "record", said, thread_id=thread, at=at + timedelta(days=number))
        await self.call(self.memory, "flush", SECONDS)

    async def facts(self, **options: Any) -> list[Fact]:
        return [*await self.call(self.user, "facts", **options)]

    async def values(self, **options: Any) -> list[str]:
        return [fact.value for fact in await self.facts(**options)]

    async def rebuilds(self, *on_progress: Any) -> Rebuilt:
        rebuilt: Rebuilt = await self.call(self.user, "rebuild", *on_progress)
        return rebuilt

    def stage(self) -> list[Any]:
        return self.store.search(ALEX.stage, limit=1_000)


async def test_what_was_recorded_without_learning_is_learned(call: Door) -> None:
    store = store_in_memory()
    await Person(call, None, store).says(*INTRODUCTION)
    alex = Person(call, learning_model(), store)
    assert await alex.facts() == []
    rebuilt = await alex.rebuilds()
    assert [count(await alex.facts(), words) for words in KNOWN] == [1] * len(KNOWN)
    assert (rebuilt.turns, rebuilt.facts) == (len(INTRODUCTION), len(await alex.facts(current_only=False)))
    assert rebuilt.calls > 0 < rebuilt.prompt_tokens
    assert (alex.stage(), repr(rebuilt)[:9]) == ([], "<Rebuilt ")


async def test_what_was_learned_wrongly_is_gone_and_the_history_is_there(call: Door) -> None:
    alex = Person(call, learning_model())
    await alex.says(*HOMES)
    before = {(fact.value, fact.valid_at, fact.invalid_at) for fact in await alex.facts(current_only=False)}
    (tea,) = [fact for fact in await alex.facts() if fact.value == "tea"]
    episode = tea.id.rpartition("-")[0]
    know(alex.store, ALEX, **{f"{episode}-7": known_fact("The user is a horse.", value="horse", episode=episode)})
    alex.store.put(ALEX.namespace("entities"), "horse", dict(alex.store.search(ALEX.namespace("entities"))[0].value))
    await alex.rebuilds()
    facts = await alex.facts(current_only=False)
    assert {(fact.value, fact.valid_at, fact.invalid_at) for fact in facts} == before
    assert len(facts) == len(before)
    assert await alex.call(alex.user, "entity", "horse") is None
    assert sorted(await alex.values()) == ["Rome", "tea"]


async def test_progress_is_told_before_each_call_and_at_the_end(call: Door) -> None:
    alex = Person(call, learning_model(), extract=ONE_A_CALL)
    await alex.says(*HOMES)
    told: list[tuple[int, int]] = []
    rebuilt = await alex.rebuilds(lambda *progress: told.append(progress))
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert rebuilt.calls == 4


async def test_nothing_on_record_is_nothing_rebuilt(call: Door) -> None:
    rebuilt = await Person(call, learning_model()).rebuilds()
    assert (rebuilt.turns, rebuilt.facts, rebuilt.calls) == (0, 0, 0)


async def test_rebuilding_needs_a_model(call: Door) -> None:
    with pytest.raises(ConfigurationError, match="needs a model"):
        await Person(call, None).rebuilds()


async def test_interruption_half_way_leaves_what_was_known_and_is_gone_on_with(call: Door) -> None:
    brain = learning_model()
    alex = Person(call, brain, extract=ONE_A_CALL)
    await alex.says(*HOMES)
    before = await alex.facts(current_only=False)

    def stop(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    calls = len(brain.calls)
    with pytest.raises(KeyboardInterrupt):
        await alex.rebuilds(stop)
    assert await alex.facts(current_only=False) == before
    assert len(brain.calls) - calls == 3
    assert (await alex.rebuilds()).calls == 1
    after = await alex.facts(current_only=False)
    assert [fact.value for fact in after] == [fact.value for fact in before]
    assert [fact.text for fact in after] != [fact.text for fact in before], "each call words it differently"


async def test_model_that_fails_for_some_leaves_what_was_known(call: Door) -> None:
    brain = learning_model()
    alex = Person(call, brain, extract=ONE_A_CALL)
    await alex.says(*HOMES)
    before = await alex.facts(current_only=False)
    made = len(brain.calls_of("structured"))
    brain.failures.update({("structured", made + n): TimeoutError() for n in (1, 4)})  # the second, twice
    with pytest.raises(ExtractionError, match=r"1 of 4 turns could not be learned again .*TimeoutError"):
        await alex.rebuilds()
    assert await alex.facts(current_only=False) == before
    assert (await alex.rebuilds()).calls == 1
    assert await alex.values(current_only=False) == [fact.value for fact in before]


async def test_failure_in_company_is_mended_alone(call: Door) -> None:
    brain = learning_model()
    alex = Person(call, brain)
    await alex.says(*HOMES)
    made = len(brain.calls_of("structured"))
    brain.failures[("structured", made)] = TimeoutError()
    assert (await alex.rebuilds()).turns == 4
    assert sorted(await alex.values()) == ["Rome", "tea"]


async def test_model_that_is_down_is_not_asked_for_every_turn(call: Door) -> None:
    brain = learning_model()
    alex = Person(call, brain, extract=ONE_A_CALL)
    await alex.says(*(f"I prefer drink {number}." for number in range(20)))
    made = len(brain.calls_of("structured"))
    brain.failures.update({("structured", made + n): TimeoutError() for n in range(100)})
    with pytest.raises(ExtractionError, match="20 of 20"):
        await alex.rebuilds()
    assert len(brain.calls_of("structured")) == made + 5


async def test_interrupted_swap_is_finished_by_the_next_run(call: Door) -> None:
    is_cut = [False]

    def watch(when: str, ops: list[Op]) -> None:
        written = [op for op in puts(ops, "facts") if "rebuild" not in op.namespace]
        if when == "before" and is_cut[0] and written:
            raise ConnectionError

    alex = Person(call, learning_model(), WatchedStore(store_in_memory(), watch))
    await alex.says(*HOMES)
    before = await alex.facts(current_only=False)
    is_cut[0] = True
    with pytest.raises(ConnectionError):
        await alex.rebuilds()
    assert await alex.facts(current_only=False) == before
    is_cut[0] = False
    await alex.says("OK")
    after = await alex.facts(current_only=False)
    assert [fact.value for fact in after] == [fact.value for fact in before]
    assert [fact.text for fact in after] != [fact.text for fact in before]
    assert alex.stage() == []


# --- what the user decided ---


async def test_forgotten_fact_does_not_come_back(call: Door) -> None:
    """Law 6."""
    alex = Person(call, learning_model(), summary=SummaryConfig(after_messages=3, keep_messages=1))
    await alex.says("I live in Lisbon.", "I prefer tea.", "As I said, I live in Lisbon.")
    (home,) = [fact for fact in await alex.facts() if fact.value == "Lisbon"]
    await alex.call(alex.user, "forget", home.id)
    await alex.rebuilds()
    assert await alex.values(current_only=False) == ["tea"]
    items = alex.store.search(("memory",), limit=1_000)
    assert not [item for item in items if "Lisbon" in str(item.value)]


async def test_pins_and_corrections_survive(call: Door) -> None:
    alex = Person(call, learning_model())
    await alex.says("I live in Lisbon.", "I prefer tea.", "I prefer tea.")
    home, tea = await alex.facts()
    await alex.call(alex.user, "pin", home.id)
    right = await alex.call(alex.user, "edit", tea.id, "The user prefers herbal tea.")
    for _ in range(2):
        await alex.rebuilds()
        facts = {fact.id: fact for fact in await alex.facts()}
        assert set(facts) == {home.id, right.id}
        assert (facts[home.id].is_pinned, facts[right.id].text) == (True, "The user prefers herbal tea.")
    reason = await alex.call(alex.user, "why", right.id)
    assert [fact.value for fact in reason.supersedes] == ["tea"]


async def test_restoring_in_the_middle_of_a_rebuild_starts_it_anew(call: Door, tmp_path: Path) -> None:
    alex = Person(call, learning_model(), extract=ONE_A_CALL)
    await alex.says(*HOMES)
    (tea,) = [fact for fact in await alex.facts() if fact.value == "tea"]
    await alex.call(alex.user, "pin", tea.id)
    await alex.call(alex.user, "export", tmp_path / "alex.jsonl")
    await alex.call(alex.user, "unpin", tea.id)

    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await alex.rebuilds(stop)
    assert alex.stage() != []
    await alex.call(alex.user, "restore", tmp_path / "alex.jsonl")
    assert alex.stage() == []
    await alex.rebuilds()
    assert [fact.value for fact in await alex.facts() if fact.is_pinned] == ["tea"]


@pytest.mark.parametrize("decision", ["forget", "pin", "edit"])
async def test_decision_in_the_middle_of_a_rebuild_starts_it_anew(call: Door, decision: str) -> None:
    alex = Person(call, learning_model(), extract=ONE_A_CALL)
    await alex.says(*HOMES)

    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await alex.rebuilds(stop)
    (tea,) = [fact for fact in await alex.facts() if fact.value == "tea"]
    more = ("The user prefers herbal tea.",) if decision == "edit" else ()
    await alex.call(alex.user, decision, tea.id, *more)
    assert alex.stage() == []
    assert (await alex.rebuilds()).calls == 4
    wanted = {"forget": [], "pin": ["tea"], "edit": ["The user prefers herbal tea."]}
    assert [value for value in await alex.values() if "tea" in value] == wanted[decision]


@pytest.mark.parametrize("moment", [2, 3, 4])
@pytest.mark.parametrize("decision", ["forget", "pin"])
async def test_decision_in_another_process_starts_it_anew_too(call: Door, decision: str, moment: int) -> None:
    alex = Person(call, learning_model(), extract=ONE_A_CALL)
    await alex.says(*HOMES)
    known = sorted(await alex.values(current_only=False))
    elsewhere = Person(call, None, alex.store)
    (tea,) = [fact for fact in await alex.facts() if fact.value == "tea"]
    moments = [moment]

    def decide(done: int, _: int) -> None:
        if done in moments:
            moments.clear()
            getattr(elsewhere.user, decision)(tea.id)

    await alex.rebuilds(decide)
    left = sorted(await alex.values(current_only=False))
    assert left == [value for value in known if decision == "pin" or value != "tea"]
    assert [fact.value for fact in await alex.facts() if fact.is_pinned] == (["tea"] if decision == "pin" else [])
    assert alex.stage() == []


async def test_what_another_process_learned_meanwhile_stays(call: Door) -> None:
    alex = Person(call, learning_model(), extract=ONE_A_CALL)
    await alex.says(*HOMES)

    def learn(done: int, _: int) -> None:
        if done == 2:
            late = known_fact("The user loves Bern.", attribute="opinion", value="Bern", episode="e-late")
            know(alex.store, ALEX, **{"e-late-0": late})

    await alex.rebuilds(learn)
    assert sorted(await alex.values()) == ["Bern", "Rome", "tea"]


async def test_spent_day_holds_up_no_rebuild(call: Door) -> None:
    brain = learning_model()
    alex = Person(call, brain, extract=ExtractConfig(batch_tokens=60, daily_tokens=100_000))
    await alex.says(*HOMES)
    capped = Person(call, brain, alex.store, extract=ExtractConfig(batch_tokens=60, daily_tokens=1))
    await capped.says("I prefer milk.")
    assert sorted(await capped.values()) == ["Rome", "tea"]
    await capped.rebuilds()
    assert sorted(await capped.values()) == ["Rome", "milk", "tea"]


async def test_other_processes_wait_for_a_rebuild(call: Door) -> None:
    alex = Person(call, learning_model(), SharedStore(store_in_memory(), watch_nothing), extract=ONE_A_CALL)
    await alex.says(*HOMES)
    taken: list[bool] = []

    def tell(*_: int) -> None:
        asked = take_lease(ALEX, alex.store, owner="another", now=datetime.now(UTC), is_forced=False)
        taken.append(run(asked))

    await alex.rebuilds(tell)
    tell()
    assert taken == [False] * (len(HOMES) + 1) + [True]


async def test_summaries_are_made_again(call: Door) -> None:
    alex = Person(call, learning_model(), summary=SummaryConfig(after_messages=3, keep_messages=1))
    await alex.says("I live in Lisbon.", "I prefer tea.")
    alex.store.put(
        ALEX.namespace("summaries"), "first", {"text": "Rot.", "through_id": "", "through_position": 2, "messages": 3}
    )
    await alex.rebuilds()
    assert "I live in Lisbon." in await alex.call(alex.user, "summary", "first")


async def test_other_users_are_not_touched(call: Door) -> None:
    alex = Person(call, learning_model())
    maria = alex.memory.for_user("maria")
    await call(maria, "record", [("user", "I live in Bern.")], thread_id="first")
    await alex.says("I live in Lisbon.")
    items = [item for item in alex.store.search(("memory",), limit=1_000) if "maria" in item.namespace]
    await alex.rebuilds()
    assert [item for item in alex.store.search(("memory",), limit=1_000) if "maria" in item.namespace] == items


async def test_chroma_is_rebuilt_and_what_was_learned_is_found(call: Door, tmp_path: Path) -> None:
    with open_store(tmp_path / "memory", embedding=WordEmbedding()) as store:
        alex = Person(call, learning_model(), store)
        await alex.says(*HOMES)
        (tea,) = [fact for fact in await alex.facts() if fact.value == "tea"]
        await alex.call(alex.user, "forget", tea.id)
        await alex.rebuilds()
        assert await alex.values(current_only=False) == ["Lisbon", "Porto", "Rome"]
        hits = await alex.call(alex.user, "recall", "Where do I live now, in Rome?")
        assert [hit.item.value for hit in hits if isinstance(hit.item, Fact)] == ["Rome"]
        assert [hit.outdated for hit in hits if hit.text == "I live in Lisbon."] == [("I live in Lisbon",)]
        assert alex.stage() == []
