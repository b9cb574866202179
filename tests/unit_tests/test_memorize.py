"""The memorize graph on its own: what it learns, what it reports, and that a second run changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langchain_hybrid_memory import ExtractConfig, ExtractionError, HybridMemory, MissingUserError, SummaryConfig
from langchain_hybrid_memory.errors import HybridMemoryError, describe
from langchain_hybrid_memory.reports import Report, add_reports
from tests.doubles.life import WatchedStore, count, learning_model, puts, store_in_memory
from tests.doubles.scripted import ScriptedChatModel

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore, Op

    from tests.doubles.doors import Door

ALL = {"user_id": "alex", "learns": True, "is_forced": True}


def remembering(brain: ScriptedChatModel | None, store: BaseStore | None = None, **options: Any) -> HybridMemory:
    return HybridMemory(brain, store=store or store_in_memory(), extraction="manual", **options)


async def tell(call: Door, memory: HybridMemory, *texts: str, thread: str = "first") -> None:
    """Put turns on record that nothing has worked on."""
    said = [message for text in texts for message in (("user", text), ("assistant", f"You said: {text}"))]
    user = memory.for_user("alex")
    memory._background.after_turn = lambda *_: iter(())  # type: ignore[method-assign,assignment]  # nothing starts by itself
    await call(user, "record", said, thread_id=thread)


async def memorize(call: Door, memory: HybridMemory, **given: Any) -> Report:
    result = await call(memory.memorize_graph(), "invoke", {**ALL, **given})
    report: Report = result["report"]
    return report


async def pending(call: Door, memory: HybridMemory) -> int:
    return int((await call(memory, "status")).pending)


def test_steps_follow_each_other_and_begin_again_until_nothing_waits() -> None:
    edges = {(edge.source, edge.target) for edge in remembering(None).memorize_graph().get_graph().edges}
    assert edges >= {
        ("__start__", "load"),
        ("load", "index"),
        ("index", "extract"),
        ("index", "__end__"),
        ("extract", "consolidate"),
        ("consolidate", "summarize"),
        ("summarize", "done"),
        ("done", "load"),
    }


async def test_run_reports_what_it_learned_and_what_it_cost(call: Door) -> None:
    brain = learning_model()
    memory = remembering(brain)
    await tell(call, memory, "I live in Lisbon.", "I prefer tea.")
    report = await memorize(call, memory)
    assert (report["indexed"], report["confirmed"], report["superseded"], report["failed"]) == (4, 0, 0, 0)
    assert len(report["learned"]) == 2
    usages = [made.usage for made in brain.calls if made.usage]
    assert (report["calls"], report["prompt_tokens"]) == (len(usages), sum(u["input_tokens"] for u in usages))
    assert report["completion_tokens"] == sum(u["output_tokens"] for u in usages)
    assert await pending(call, memory) == 0


async def test_later_fact_supersedes_and_same_fact_confirms(call: Door) -> None:
    memory = remembering(learning_model())
    await tell(call, memory, "I live in Lisbon.")
    await memorize(call, memory)
    await tell(call, memory, "I moved to Porto.", "I moved to Porto.", thread="second")
    report = await memorize(call, memory)
    assert (len(report["learned"]), report["superseded"], report["confirmed"]) == (1, 1, 1)


async def test_second_run_finds_nothing_to_do(call: Door) -> None:
    brain = learning_model()
    memory = remembering(brain)
    await tell(call, memory, "I live in Lisbon.")
    await memorize(call, memory)
    calls = len(brain.calls)
    report = await memorize(call, memory)
    assert (report["indexed"], len(brain.calls)) == (0, calls)


async def test_run_that_was_cut_off_is_repeated_without_a_twin(call: Door) -> None:
    """Law 2: the model words its answer differently, the facts are replaced as a set."""
    is_cut = [True]

    def watch(when: str, ops: list[Op]) -> None:
        if is_cut[0] and when == "before" and any(op.value is None for op in puts(ops, "pending")):
            raise ConnectionError

    memory = remembering(learning_model(), WatchedStore(store_in_memory(), watch))
    await tell(call, memory, "I live in Lisbon.", "My friend Sarah works at Google as a baker.")
    for _ in range(3):
        with pytest.raises(HybridMemoryError, match="ConnectionError"):
            await memorize(call, memory)
    before = {fact.text for fact in await call(memory.for_user("alex"), "facts")}
    is_cut[0] = False
    await memorize(call, memory)
    facts = await call(memory.for_user("alex"), "facts")
    assert [count(facts, words) for words in ("lives in Lisbon", "works at Google", "is a baker")] == [1, 1, 1]
    assert len(facts) == 3
    assert before != {fact.text for fact in facts}  # else nothing was repeated


async def test_without_learning_messages_are_indexed_and_stay_queued(call: Door) -> None:
    brain = learning_model()
    memory = remembering(brain)
    await tell(call, memory, "I live in Lisbon.")
    report = await memorize(call, memory, learns=False)
    assert (report["indexed"], brain.calls, await pending(call, memory)) == (2, [], 1)


async def test_without_a_model_messages_are_indexed_and_done(call: Door) -> None:
    memory = remembering(None)
    await tell(call, memory, "I live in Lisbon.")
    report = await memorize(call, memory)
    assert (report["indexed"], await pending(call, memory)) == (2, 0)


async def test_turns_recorded_together_are_read_in_the_order_they_were_said(call: Door) -> None:
    brain = learning_model()
    memory = remembering(brain, extract=ExtractConfig(batch_tokens=200))
    homes = [f"Town{number:02}" for number in range(20)]
    await tell(call, memory, *(f"I moved to {home}." for home in homes))
    await memorize(call, memory)
    shown = "".join(made.messages[-1].text.partition("Messages:")[2] for made in brain.calls_of("structured"))
    places = [shown.index(f"user: I moved to {home}.") for home in homes]
    assert places == sorted(places)
    assert [fact.value for fact in await call(memory.for_user("alex"), "facts")] == homes[-1:]


async def test_long_queue_is_worked_off_in_one_run(call: Door) -> None:
    brain = learning_model()
    memory = remembering(brain, extract=ExtractConfig(batch_tokens=60))
    await tell(call, memory, *(f"I prefer drink {number:02}." for number in range(60)))
    await memorize(call, memory)
    assert await pending(call, memory) == 0
    assert len(brain.calls_of("structured")) >= 30
    assert len(await call(memory.for_user("alex"), "facts")) == 60


async def test_run_is_for_one_user(call: Door) -> None:
    memory = remembering(learning_model())
    await tell(call, memory, "I live in Lisbon.")
    await call(memory.for_user("maria"), "record", [("user", "I live in Rome.")], thread_id="first")
    await memorize(call, memory)
    assert await pending(call, memory) == 1
    assert not await call(memory.for_user("maria"), "facts")


async def test_run_without_a_user_is_refused(call: Door) -> None:
    with pytest.raises(MissingUserError):
        await memorize(call, remembering(learning_model()), user_id="")


async def test_failed_summary_costs_no_fact_and_is_made_up_for(call: Door) -> None:
    brain = learning_model(failures={("chat", 0): TimeoutError()})
    memory = remembering(brain, summary=SummaryConfig(after_messages=4, keep_messages=2))
    await tell(call, memory, "I live in Lisbon.", "I prefer tea.", "I love milk.")
    report = await memorize(call, memory)
    assert (report["errors"], report["failed"], report["summarized"]) == (["TimeoutError"], 0, 0)
    assert len(await call(memory.for_user("alex"), "facts")) == 3
    await tell(call, memory, "OK")
    await memorize(call, memory)
    summary = await call(memory.for_user("alex"), "summary", "first")
    assert "I live in Lisbon." in summary


async def test_invented_fact_is_rejected_and_counted(call: Door) -> None:
    """Law 7: a quote that is not there carries no fact."""
    brain = learning_model()
    rules = brain.structured
    assert callable(rules)

    def invent(messages: Any, schema: Any) -> Any:
        answer: Any = rules(messages, schema)
        answer["facts"].append({**answer["facts"][0], "quote": "I live in Rome", "value": "Rome"})
        return answer

    brain.structured = invent
    memory = remembering(brain)
    await tell(call, memory, "I live in Lisbon.")
    report = await memorize(call, memory)
    assert report["rejected"] == {"quote not found": 1}
    assert [fact.value for fact in await call(memory.for_user("alex"), "facts")] == ["Lisbon"]


async def test_graph_without_a_store_takes_the_one_of_the_run(call: Door) -> None:
    """How it is deployed on a server."""
    store = store_in_memory()
    await tell(call, remembering(learning_model(), store), "I live in Lisbon.")
    deployed: Any = HybridMemory(learning_model()).memorize_graph()
    deployed.store = store
    await call(deployed, "invoke", ALL)
    assert [item.value["value"] for item in store.search(("memory", "user", "alex", "facts"))] == ["Lisbon"]


def test_reports_add_up() -> None:
    one = Report(indexed=1, learned=["a"], rejected={"empty": 1}, errors=["x"], calls=2)
    other = Report(indexed=2, learned=["b"], rejected={"empty": 2, "too many": 1}, errors=["y"], failed=1)
    both = add_reports(one, other)
    assert (both["indexed"], both["learned"], both["errors"]) == (3, ["a", "b"], ["x", "y"])
    assert (both["rejected"], both["calls"], both["failed"]) == ({"empty": 3, "too many": 1}, 2, 1)


class StatusError(Exception):
    """As providers raise it."""

    status_code = 503


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("Alex lives in Lisbon"), "ValueError"),
        (StatusError("Alex lives in Lisbon"), "StatusError (status 503)"),
        (ExtractionError("it did not fit"), "ExtractionError: it did not fit"),
    ],
)
def test_foreign_error_is_told_without_its_words(error: Exception, said: str) -> None:
    assert describe(error) == said
