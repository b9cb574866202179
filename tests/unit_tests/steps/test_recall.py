"""Recall: one round trip, nothing foreign, nothing twice, within its budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.documents import BaseDocumentCompressor
from langgraph.store.base import PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

from langchain_hybrid_memory.budget import approximate_tokens
from langchain_hybrid_memory.config import BufferConfig, RecallConfig
from langchain_hybrid_memory.records import fingerprint
from langchain_hybrid_memory.redaction import keep_everything
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.recall import recall
from tests.doubles.builders import (
    ALEX,
    NOW,
    ai,
    human,
    iso,
    keep,
    know,
    known_fact,
    messages_in,
    queue_of,
    said,
    state,
    system,
    turns,
)
from tests.doubles.stores import LyingStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.messages import AnyMessage
    from langgraph.store.base import BaseStore

    from langchain_hybrid_memory.state import MemoryState, MemoryUpdate
    from tests.doubles.embedding import WordEmbedding
    from tests.doubles.stores import WatchedStore
    from tests.unit_tests.steps.conftest import Driver

READ_ONLY = Scope(user_id=ALEX.user_id, thread_id="t1", is_read_only=True)
SAM = Scope(user_id="sam", thread_id="t1")
QUESTION = human("h9", "Where do I live?")


@dataclass(frozen=True, slots=True)
class Recall:
    """Recalls for Alex from one store."""

    drive: Driver
    store: BaseStore

    async def __call__(
        self,
        *messages: AnyMessage,
        known: MemoryState | None = None,
        scope: Scope = ALEX,
        count: Callable[[str], int] = approximate_tokens,
        redact: Callable[[str], str] = keep_everything,
        buffer: BufferConfig | None = None,
        **config: Any,
    ) -> MemoryUpdate:
        flow = recall(
            known or state(*(messages or (QUESTION,))),
            scope,
            self.store,
            config=RecallConfig(**config),
            buffer=buffer or BufferConfig(),
            now=NOW,
            count=count,
            redact=redact,
        )
        return await self.drive(flow)

    async def block(self, *messages: AnyMessage, **options: Any) -> str:
        """The text recalled; empty when there is nothing."""
        recalled = (await self(*messages, **options))["recalled"]
        return recalled["text"] if recalled else ""


@pytest.fixture
def remember(drive: Driver, store: WatchedStore) -> Recall:
    """Recall from the test's store."""
    return Recall(drive, store)


async def test_answer_waits_for_one_batch_and_one_embedding(
    remember: Recall, store: WatchedStore, embedding: WordEmbedding
) -> None:
    keep(store, *(said(f"m{n}", f"I live in city {n}", thread="t0") for n in range(5)))
    know(store, f1=known_fact("The user lives in Lisbon.", thread="t0", message_ids=["m9"]))
    store.forget_calls()
    embedding.calls.clear()
    assert "Lisbon" in await remember.block()
    assert len(store.batches) == 1
    assert {text for call in embedding.calls for text in call} == {"Where do I live?"}
    assert len(embedding.calls) == 1


async def test_facts_and_messages_of_other_threads_are_found(remember: Recall, store: WatchedStore) -> None:
    keep(store, said("m1", "We live near the sea", thread="t0"))
    know(store, f1=known_fact("The user lives in Lisbon.", thread="t0"))
    block = await remember.block()
    assert "- [2024-05-20] The user lives in Lisbon." in block
    assert "- [2024-05-20] user: We live near the sea" in block


async def test_recalled_names_its_message_and_its_items(remember: Recall, store: WatchedStore) -> None:
    know(store, f1=known_fact("The user lives in Lisbon.", thread="t0"))
    recalled = (await remember())["recalled"]
    assert recalled is not None
    assert (recalled["message_id"], recalled["digest"]) == ("h9", fingerprint("Where do I live?"))
    assert recalled["keys"] == ["f1"]


async def test_shared_words_bring_back_what_is_far_in_meaning(remember: Recall, store: WatchedStore) -> None:
    far = [said(f"m{n}", f"live {n} " + "filler words without end " * 6, thread="t0") for n in range(3)]
    keep(store, *far, said("hit", "Kyoto", thread="t0", context="noise"))
    block = await remember.block(human("h9", "Kyoto"), limit=1)
    assert "user: Kyoto" in block


async def test_message_not_indexed_yet_is_found_by_its_words(remember: Recall, store: WatchedStore) -> None:
    fresh = {"thread": "t0", "is_indexed": False}
    keep(store, said("m1", "I live in Porto now", **fresh), said("m2", "Tuesday was rainy", **fresh))
    block = await remember.block()
    assert "I live in Porto now" in block
    assert "Tuesday" not in block


async def test_superseded_fact_is_not_recalled(remember: Recall, store: WatchedStore) -> None:
    know(
        store,
        old=known_fact("The user lives in Lisbon.", superseded_by="new", invalid_at=iso(1), thread="t0"),
        new=known_fact("The user lives in Porto.", thread="t0"),
    )
    block = await remember.block()
    assert "Porto" in block
    assert "Lisbon" not in block


async def test_nothing_known_recalls_nothing(remember: Recall) -> None:
    update = await remember()
    assert (update["recalled"], update["summary"]) == (None, None)


async def test_no_messages_recall_nothing(drive: Driver, store: WatchedStore) -> None:
    flow = recall(state(), ALEX, store, config=RecallConfig(), buffer=BufferConfig(), now=NOW)
    assert await drive(flow) == {"recalled": None, "summary": None, "pinned": None}
    assert not store.batches


@pytest.mark.parametrize("empty", ["", "  \n"])
async def test_empty_question_searches_nothing(remember: Recall, store: WatchedStore, empty: str) -> None:
    know(store, f1=known_fact("The user lives in Lisbon."))
    store.forget_calls()
    asked = human("h9").model_copy(update={"content": empty})
    assert await remember.block(asked) == ""
    assert [op.filter for ops in store.batches for op in ops if isinstance(op, SearchOp)] == [
        {"is_pinned": True, "superseded_by": None}
    ]


async def test_source_that_only_confirms_is_not_recalled(remember: Recall, store: WatchedStore) -> None:
    know(store, f1=known_fact("The user lives in Lisbon."), f2=known_fact("Lisbon is home.", confirms="f1"))
    block = await remember.block()
    assert ("lives in Lisbon" in block, "is home" in block) == (True, False)


async def test_source_that_only_confirms_is_not_found_by_words_either(drive: Driver) -> None:
    store = InMemoryStore()
    sources = {f"f{n}": known_fact(f"Lisbon is home {n}.", confirms="f1") for n in range(2, 9)}
    know(store, ALEX, f1=known_fact("The user lives in Lisbon."), **sources)
    know(store, ALEX, other=known_fact("The user likes tea."))
    update = await Recall(drive, store)(human("h9", "Is Lisbon home?"), candidates=1)
    assert update["recalled"] is not None
    assert update["recalled"]["keys"] == ["f1"]


async def test_memory_of_another_user_is_not_recalled(remember: Recall, store: WatchedStore) -> None:
    keep(store, said("m1", "I live in Rome", thread="t0"), scope=SAM)
    know(store, SAM, f1=known_fact("The user lives in Rome.", thread="t0"))
    assert await remember.block() == ""


async def test_foreign_item_that_a_store_returns_is_not_recalled(drive: Driver) -> None:
    digest = {"text": "Sam lives in Rome.", "through_id": "h9", "through_position": 0, "messages": 1}
    store = LyingStore(
        (SAM.namespace("facts"), "f1", dict(known_fact("The user lives in Rome.", thread="t0"))),
        (SAM.thread_messages("t0"), "m1", dict(said("m1", "I live in Rome", thread="t0"))),
        (SAM.thread_messages("t0"), "m2", dict(said("m2", "I live in Rome", thread="t0", is_indexed=False))),
        (SAM.namespace("summaries"), "t1", digest),
    )
    update = await Recall(drive, store)()
    assert (update["recalled"], update["summary"]) == (None, None)


async def test_what_the_prompt_shows_anyway_is_not_brought_back(remember: Recall, store: WatchedStore) -> None:
    keep(store, said("h1", "I live in Lisbon"), said("gone", "So do my parents"), said("left", "I live in Lisbon too"))
    know(
        store,
        shown=known_fact("Shown: the user lives in Lisbon.", message_ids=["h1"]),
        half=known_fact("Half: the user lives in Lisbon.", message_ids=["h1", "gone"]),
        elsewhere=known_fact("Elsewhere: the user lives in Lisbon.", message_ids=["h1"], thread="t0"),
    )
    block = await remember.block(human("h1", "I live in Lisbon"), ai("a1"), QUESTION)
    assert ("Shown" in block, "Half" in block, "Elsewhere" in block) == (False, True, True)
    assert "user: I live in Lisbon\n" not in block
    assert "user: I live in Lisbon too" in block


async def test_message_that_left_the_window_is_brought_back(remember: Recall, store: WatchedStore) -> None:
    keep(store, said("h1", "I live in Lisbon"))
    history = [human("h1", "I live in Lisbon"), ai("a1"), QUESTION]
    assert "user: I live in Lisbon" in await remember.block(*history, buffer=BufferConfig(max_messages=1))


@pytest.mark.parametrize(("through", "is_adopted"), [("a1", True), ("elsewhere", False)])
async def test_summary_is_adopted_only_where_its_message_is_in_this_branch(
    remember: Recall, store: WatchedStore, through: str, *, is_adopted: bool
) -> None:
    digest = {"text": "They met.", "through_id": through, "through_position": 1, "messages": 2}
    store.put(ALEX.namespace("summaries"), "t1", digest, index=False)
    update = await remember(*turns(1, 1), QUESTION)
    digest = {"text": "They met.", "through_id": through, "owner": fingerprint(ALEX.user_id)}
    assert update["summary"] == (digest if is_adopted else None)


async def test_summary_of_another_thread_is_not_adopted(remember: Recall, store: WatchedStore) -> None:
    digest = {"text": "They met.", "through_id": "a1", "through_position": 1, "messages": 2}
    store.put(ALEX.namespace("summaries"), "t0", digest, index=False)
    assert (await remember(*turns(1, 1), QUESTION))["summary"] is None


async def test_question_is_on_record_before_the_answer(remember: Recall, store: WatchedStore) -> None:
    update = await remember(known=state(*turns(1, 1), QUESTION, recorded_through="a1"))
    assert set(messages_in(store)) == {"h9"}
    (entry,) = queue_of(store).values()
    assert (entry["is_complete"], entry["message_ids"]) == (False, ["h9"])
    assert update["recorded_through"] == "h9"
    assert [op.namespace[1] for op in store.writes[0]][:2] == ["pending", "user"], "the queue comes first"


async def test_cursor_does_not_jump_over_what_an_interrupted_turn_left(remember: Recall, store: WatchedStore) -> None:
    update = await remember(known=state(*turns(1, 2), QUESTION, recorded_through="a1"))
    assert set(messages_in(store)) == {"h9"}
    assert "recorded_through" not in update


async def test_question_already_on_record_is_not_written_again(remember: Recall, store: WatchedStore) -> None:
    await remember(known=state(QUESTION, ai("a9", calls=("c",)), recorded_through="h9"))
    assert not store.writes


async def test_read_only_turn_recalls_and_leaves_no_trace(remember: Recall, store: WatchedStore) -> None:
    know(store, f1=known_fact("The user lives in Lisbon.", thread="t0"))
    store.forget_calls()
    update = await remember(scope=READ_ONLY)
    assert update["recalled"]
    assert "recorded_through" not in update
    assert not store.writes


async def test_system_text_and_messages_of_a_middleware_ask_nothing(remember: Recall, store: WatchedStore) -> None:
    know(store, f1=known_fact("The user lives in Lisbon.", thread="t0"))
    made = human("m", "Where do I live?", additional_kwargs={"lc_source": "summarization"})
    store.forget_calls()
    assert await remember.block(system("s", "Where do I live?"), made) == ""
    assert not store.writes


async def test_newest_human_message_asks_even_where_a_middleware_spoke_last(
    remember: Recall, store: WatchedStore
) -> None:
    know(store, f1=known_fact("The user lives in Lisbon.", thread="t0"))
    made = human("m", "Summary", additional_kwargs={"lc_source": "summarization"})
    recalled = (await remember(QUESTION, made))["recalled"]
    assert recalled is not None
    assert recalled["message_id"] == "h9"


async def test_secret_is_redacted_before_it_is_on_record(remember: Recall, store: WatchedStore) -> None:
    await remember(human("h9", "My pin is 4711"), redact=lambda text: text.replace("4711", "<pin>"))
    assert messages_in(store)["h9"]["text"] == "My pin is <pin>"
    assert not [op for ops in store.writes for op in ops if isinstance(op, PutOp) and "4711" in str(op.value)]


COUNTERS = [approximate_tokens, len, lambda text: len(text.split()), lambda text: len(text.encode())]


@pytest.mark.parametrize("count", COUNTERS, ids=["approximate", "characters", "words", "bytes"])
@pytest.mark.parametrize("budget", [1, 30, 300, 900])
async def test_block_stays_within_its_budget(
    remember: Recall, store: WatchedStore, budget: int, count: Callable[[str], int]
) -> None:
    texts = [f"I live in city {n} " + "\u4eac\u90fd long words " * (n * 5) for n in range(20)]
    keep(store, *(said(f"m{n}", text, thread="t0", speaker="Caroline") for n, text in enumerate(texts)))
    block = await remember.block(count=count, budget_tokens=budget, item_tokens=100)
    assert count(block) <= budget
    assert bool(block) == (budget >= 300)


async def test_number_of_hits_is_limited_and_the_best_stay(remember: Recall, store: WatchedStore) -> None:
    keep(store, *(said(f"m{n}", f"Noise number {n}", thread="t0") for n in range(20)))
    know(store, f1=known_fact("The user lives in Lisbon.", thread="t0"))
    block = await remember.block(human("h9", "lives Lisbon"), limit=3)
    assert block.count("\n- [") == 3
    assert "Lisbon" in block


async def test_store_that_fails_is_not_passed_over(remember: Recall, store: WatchedStore) -> None:
    store.fails_from = 0
    with pytest.raises(ConnectionError):
        await remember()


async def test_recall_without_a_thread_works(remember: Recall, store: WatchedStore) -> None:
    know(store, f1=known_fact("The user lives in Lisbon.", thread="t0"))
    assert "Lisbon" in await remember.block(scope=Scope(user_id=ALEX.user_id))


async def test_several_messages_in_a_row_are_all_on_record_before_the_answer(
    remember: Recall, store: WatchedStore
) -> None:
    update = await remember(human("h1", "I moved."), human("h2", "To Porto."), human("h3", "Where do I live?"))
    assert set(messages_in(store)) == {"h1", "h2", "h3"}
    assert update["recorded_through"] == "h3"


async def test_turn_that_had_to_leave_no_trace_is_no_context(remember: Recall, store: WatchedStore) -> None:
    secret = [human("h1", "My secret is 42."), ai("a1", "Your secret is 42.")]
    known = state(*secret, human("h2", "Hello"), recorded_through="a1", skipped_through="a1")
    await remember(known=known)
    assert {message["context"] for message in messages_in(store).values()} == {""}


async def test_question_that_leans_on_the_conversation_is_searched_with_it(
    remember: Recall, store: WatchedStore, embedding: WordEmbedding
) -> None:
    keep(store, said("m1", "Sarah works as a nurse", thread="t0"), said("m2", "My own job is dull", thread="t0"))
    embedding.calls.clear()
    before = [human("h1", "Tell me about Sarah please"), ai("a1", "Gladly.")]
    assert "nurse" in await remember.block(*before, human("h2", "And her job?"), limit=1)
    assert embedding.calls == [("Tell me about Sarah please\nGladly.\nAnd her job?",)]


async def test_question_that_stands_alone_is_searched_as_it_is(remember: Recall, embedding: WordEmbedding) -> None:
    embedding.calls.clear()
    await remember(human("h1", "Tell me about Sarah"), ai("a1"), human("h2", "What are my travel plans for Lisbon?"))
    assert embedding.calls == [("What are my travel plans for Lisbon?",)]


async def test_nothing_relevant_recalls_nothing(remember: Recall, store: WatchedStore) -> None:
    keep(store, *(said(f"m{n}", f"Our garden grew {n} roses", thread="t0") for n in range(3)))
    asked = human("h9", "Which harpsichord did the luthier restring?")
    assert await remember.block(asked) == ""
    assert "garden" in await remember.block(human("h9", "Which roses does our garden grow?"))


class Backwards(BaseDocumentCompressor):
    """Reverses what it gets, and drops what it is told to."""

    dropped: str = ""

    def compress_documents(self, documents: Any, query: str, callbacks: Any = None) -> Any:
        del callbacks
        assert query == "Where do I live?"
        return [document for document in reversed(documents) if document.page_content != self.dropped]


async def test_reranker_has_the_last_word(remember: Recall, store: WatchedStore) -> None:
    keep(store, said("m1", "I live in Lisbon", thread="t0"), said("m2", "I live in Porto, or so", thread="t0"))
    as_found = await remember(limit=1)
    turned = await remember(limit=1, reranker=Backwards())
    assert as_found["recalled"] is not None
    assert turned["recalled"] is not None
    assert {*as_found["recalled"]["keys"], *turned["recalled"]["keys"]} == {"m1", "m2"}
    assert "Lisbon" not in await remember.block(reranker=Backwards(dropped="I live in Lisbon"))


async def test_fact_is_shown_with_the_words_it_rests_on_where_there_is_room(
    remember: Recall, store: WatchedStore
) -> None:
    quote = "moved to Lisbon in spring, for the light"
    know(store, f1=known_fact("The user lives in Lisbon.", quote=quote, thread="t0"))
    roomy, tight = await remember.block(), await remember.block(budget_tokens=60)
    assert f'- [2024-05-20] The user lives in Lisbon. ("{quote}")' in roomy
    assert "- [2024-05-20] The user lives in Lisbon.\n" in tight
    assert approximate_tokens(tight) <= 60


async def test_superseded_fact_is_labelled_as_past_when_the_past_is_asked_for(
    remember: Recall, store: WatchedStore
) -> None:
    ended = {"superseded_by": "new", "invalid_at": iso(1), "thread": "t0", "message_ids": ["m1"]}
    know(
        store,
        old=known_fact("The user lives in Lisbon.", **ended),
        new=known_fact("The user lives in Porto.", thread="t0", message_ids=["m2"]),
    )
    block = await remember.block(human("h9", "Where did I live before?"))
    assert "- [2024-05-20] In the past, until 2024-05-21: The user lives in Lisbon." in block
    assert "- [2024-05-20] The user lives in Porto." in block
