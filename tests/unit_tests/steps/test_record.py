"""The log comes first: verbatim, complete, queued, and never twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage

from langchain_hybrid_memory.records import FIRST, fingerprint, to_iso, trust_of
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.forget import forget_fact
from langchain_hybrid_memory.steps.marks import BLANK
from langchain_hybrid_memory.steps.record import CONTEXT_CHARACTERS, append, cursor_index, record, utterances
from tests.doubles.builders import (
    ALEX,
    NOW,
    ai,
    day,
    human,
    iso,
    know,
    known_fact,
    messages_in,
    queue_of,
    result,
    state,
    system,
    turns,
)

if TYPE_CHECKING:
    from langchain_hybrid_memory.state import MemoryUpdate
    from tests.doubles.stores import WatchedStore
    from tests.unit_tests.steps.conftest import Driver

READ_ONLY = Scope(user_id=ALEX.user_id, thread_id="t1", is_read_only=True)


def episode(first_id: str, thread: str = "t1") -> str:
    return fingerprint(thread, first_id)


async def write(drive: Driver, store: WatchedStore, *messages: AnyMessage, cursor: str | None = None) -> MemoryUpdate:
    known = state(*messages) if cursor is None else state(*messages, recorded_through=cursor)
    return await drive(record(known, ALEX, store, now=NOW))


async def test_messages_are_kept_verbatim(drive: Driver, store: WatchedStore) -> None:
    await write(drive, store, human("h1", "  Hi,\n\tI'm Alex! \u4e2d  "), ai("a1", "Hello **Alex**"))
    kept = messages_in(store)
    assert {key: (m["role"], m["text"]) for key, m in kept.items()} == {
        "h1": ("user", "  Hi,\n\tI'm Alex! \u4e2d  "),
        "a1": ("assistant", "Hello **Alex**"),
    }
    assert kept["a1"]["context"] == kept["h1"]["text"]
    assert {m["at"] for m in kept.values()} == {to_iso(NOW)}
    assert not any(m["is_indexed"] for m in kept.values())


async def test_everything_behind_the_cursor_is_swept(drive: Driver, store: WatchedStore) -> None:
    update = await write(drive, store, *turns(1, 4), cursor="a2")
    assert list(messages_in(store)) == ["h3", "a3", "h4", "a4"]
    assert update["recorded_through"] == "a4"


async def test_interrupted_turn_is_swept_by_the_next(drive: Driver, store: WatchedStore) -> None:
    await write(drive, store, *turns(1, 1), human("lost", "I moved to Porto"), *turns(2, 2), cursor="a1")
    assert messages_in(store)["lost"]["text"] == "I moved to Porto"
    entry = queue_of(store)[f"{episode('lost')}-lost"]
    assert entry["is_complete"], "the next turn has ended it"


async def test_answer_costs_one_write_and_no_embedding(drive: Driver, store: WatchedStore) -> None:
    await write(drive, store, *turns(1, 2), cursor="a1")
    assert len(store.batches) == len(store.writes) == 1
    assert all(op.index is False for op in store.writes[0])


async def test_queue_is_written_before_the_messages_and_holds_no_text(drive: Driver, store: WatchedStore) -> None:
    await write(drive, store, human("h1", "a secret word"), ai("a1", "another secret"))
    (ops,) = store.writes
    kinds = [op.namespace[1] if op.namespace[1] == "pending" else op.namespace[3] for op in ops]
    assert kinds == ["pending", "messages", "messages", "threads"]
    assert "secret" not in json.dumps([op.value for op in ops if op.namespace[1] == "pending"])


async def test_turn_is_one_episode_from_its_human_message_on(drive: Driver, store: WatchedStore) -> None:
    loop = [human("h2"), ai("a2", calls=("c",)), result("t2", "c"), ai("a3")]
    await write(drive, store, ai("greeting"), *turns(1, 1), *loop)
    episodes = {key: m["episode"] for key, m in messages_in(store).items()}
    assert episodes == {
        "greeting": episode("greeting"),
        **dict.fromkeys(["h1", "a1"], episode("h1")),
        **dict.fromkeys(["h2", "a2", "t2", "a3"], episode("h2")),
    }
    assert queue_of(store)[f"{episode('h2')}-a3"]["message_ids"] == ["h2", "a2", "t2", "a3"]


async def test_positions_go_on_across_turns(drive: Driver, store: WatchedStore) -> None:
    history = [system("s"), *turns(1, 1)]
    update = await write(drive, store, *history)
    await write(drive, store, *history, *turns(2, 3), cursor=update["recorded_through"])
    assert {key: m["position"] for key, m in messages_in(store).items()} == {
        "h1": 1,
        "a1": 2,
        "h2": 3,
        "a2": 4,
        "h3": 5,
        "a3": 6,
    }
    (thread,) = store.search(ALEX.namespace("threads"))
    assert thread.value == {"last_at": iso(0), "length": 7, "last_id": "a3"}


@pytest.mark.parametrize(
    "silent",
    [
        system("s", "You are kind."),
        human("m", "Summary so far", additional_kwargs={"lc_source": "summarization"}),
        human("m", " \n"),
        ai("m", "", calls=("c",)),
        AIMessage([{"type": "thinking", "thinking": "Hm."}, {"type": "tool_use", "id": "c", "name": "look"}], id="m"),
    ],
    ids=["system", "middleware", "blank", "call only", "thoughts only"],
)
async def test_what_nobody_said_is_not_recorded(drive: Driver, store: WatchedStore, silent: AnyMessage) -> None:
    update = await write(drive, store, human("h1"), silent, ai("a1"))
    assert set(messages_in(store)) == {"h1", "a1"}
    assert messages_in(store)["a1"]["context"] == "words of h1"
    assert update["recorded_through"] == "a1"


async def test_turn_without_words_moves_the_cursor_and_writes_nothing(drive: Driver, store: WatchedStore) -> None:
    update = await write(drive, store, *turns(1, 1), ai("a2", ""), cursor="a1")
    assert (update["recorded_through"], update["branch"]["tip"]) == ("a2", "a1")
    assert not store.writes
    assert await write(drive, store) == {}


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
IMAGE = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}
SOUND = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
THOUGHT = {"type": "thinking", "thinking": "Hm."}
SPOKEN: list[tuple[AnyMessage, str]] = [
    (HumanMessage([{"type": "text", "text": "My cat"}, PICTURE], id="m"), "My cat [image]"),
    (HumanMessage([PICTURE], id="m"), "[image]"),
    (HumanMessage([PICTURE, "or", IMAGE], id="m"), "[image] or [image]"),
    (HumanMessage(["one ", {"type": "text", "text": "two"}], id="m"), "one two"),
    (HumanMessage([SOUND, PICTURE, PICTURE], id="m"), "[audio] [image] [image]"),
    (HumanMessage(["Read", {"type": "file", "file_id": "f"}, {"type": "video"}], id="m"), "Read [file] [video]"),
    (HumanMessage([{"type": "media", "data": "AAAA"}], id="m"), "[attachment]"),
    (AIMessage([THOUGHT, "Here", IMAGE], id="m"), "Here [image]"),
    (ToolMessage(["A map", IMAGE], id="m", tool_call_id="c"), "A map [image]"),
]


@pytest.mark.parametrize(("message", "expected"), SPOKEN, ids=[expected for _, expected in SPOKEN])
async def test_of_a_message_of_blocks_the_text_is_kept_and_placeholders(
    drive: Driver, store: WatchedStore, message: AnyMessage, expected: str
) -> None:
    await write(drive, store, human("h1"), message)
    assert messages_in(store)["m"]["text"] == expected
    assert "AAAA" not in json.dumps([item.value for item in store.search(("memory",), limit=100)])


async def test_messages_name_the_one_they_followed_and_count_on_when_others_are_pruned(
    drive: Driver, store: WatchedStore
) -> None:
    known = state(*turns(1, 2))
    update = await drive(record(known, ALEX, store, now=NOW))
    pruned = state(*turns(2, 3)[1:], recorded_through=update["recorded_through"], branch=update["branch"])
    update = await drive(record(pruned, ALEX, store, now=NOW))
    anew = state(*turns(4, 4), recorded_through=update["recorded_through"], branch=update["branch"])
    await drive(record(anew, ALEX, store, now=NOW))
    kept = sorted(messages_in(store).values(), key=lambda message: message["position"])
    assert [m["position"] for m in kept] == list(range(8))
    assert [m["after"] for m in kept] == [FIRST, *(m["id"] for m in kept[:-1])]


async def test_pruning_writes_nothing_again(drive: Driver, store: WatchedStore) -> None:
    update = await drive(record(state(*turns(1, 3)), ALEX, store, now=NOW))
    store.forget_calls()
    pruned = state(*turns(2, 3), recorded_through=update["recorded_through"], branch=update["branch"])
    await drive(record(pruned, ALEX, store, now=NOW))
    assert not store.writes


async def test_edit_under_an_id_is_written_and_a_shortened_result_is_not(drive: Driver, store: WatchedStore) -> None:
    said = [human("h1"), ai("a1", calls=("c",)), result("t1", "c", "a long result"), ai("a2"), *turns(3, 3)]
    update = await drive(record(state(*said), ALEX, store, now=NOW))
    said[0], said[2] = human("h1", "I live in Porto"), result("t1", "c", "[cleared]")
    edited = state(*said, recorded_through=update["recorded_through"], branch=update["branch"])
    await drive(record(edited, ALEX, store, now=NOW))
    kept = messages_in(store)
    assert (kept["h1"]["text"], kept["t1"]["text"]) == ("I live in Porto", "a long result")


async def test_forgotten_words_do_not_come_back_from_a_state(drive: Driver, store: WatchedStore) -> None:
    update = await drive(record(state(*turns(1, 2)), ALEX, store, now=NOW))
    know(store, f1=known_fact("Words.", quote="words of", message_ids=["h1"]))
    await drive(forget_fact(ALEX, store, "f1", now=NOW))
    before = messages_in(store), queue_of(store)
    assert before[0]["h1"]["text"] == f"{BLANK} h1"
    pruned = state(*turns(1, 2)[:3], recorded_through="gone", branch=update["branch"])
    await drive(record(pruned, ALEX, store, now=NOW))
    assert (messages_in(store), queue_of(store)) == before
    edited = [human("h1", "The words of h1, so to say."), *turns(1, 2)[1:]]
    await drive(record(state(*edited, recorded_through="gone", branch=update["branch"]), ALEX, store, now=NOW))
    assert messages_in(store)["h1"]["text"] == f"The {BLANK} h1, so to say."


async def test_equal_messages_with_different_ids_are_two(drive: Driver, store: WatchedStore) -> None:
    await write(drive, store, human("h1", "ok"), ai("a1", "ok"), human("h2", "ok"), ai("a2", "ok"))
    assert len(messages_in(store)) == 4


@pytest.mark.parametrize("cursor", [None, "h1", "gone"])
async def test_recording_twice_changes_nothing(drive: Driver, store: WatchedStore, cursor: str | None) -> None:
    history = turns(1, 2)
    await write(drive, store, *history, cursor=cursor)
    before = (messages_in(store), queue_of(store))
    await write(drive, store, *history, cursor=cursor)
    assert (messages_in(store), queue_of(store)) == before
    store.forget_calls()
    await write(drive, store, *history, cursor="a2")
    assert not store.writes


async def test_lost_cursor_asks_the_log_and_queues_nothing_again(drive: Driver, store: WatchedStore) -> None:
    await write(drive, store, *turns(1, 2))
    for key in queue_of(store):
        store.delete(ALEX.pending, key)
    edited = [*turns(1, 1), *turns(3, 3)]
    update = await write(drive, store, *edited, cursor="gone")
    assert update["recorded_through"] == "a3"
    assert set(queue_of(store)) == {f"{episode('h3')}-a3"}
    assert set(messages_in(store)) == {"h1", "a1", "h2", "a2", "h3", "a3"}


async def test_message_edited_under_its_id_is_recorded_anew(drive: Driver, store: WatchedStore) -> None:
    await write(drive, store, human("h1", "I live in Lisbon"), ai("a1"))
    await write(drive, store, human("h1", "I live in Porto"), ai("a1"), cursor="gone")
    assert messages_in(store)["h1"]["text"] == "I live in Porto"


async def test_answer_made_again_joins_the_episode_of_its_question(drive: Driver, store: WatchedStore) -> None:
    await write(drive, store, *turns(1, 1))
    await write(drive, store, human("h1"), ai("again"), cursor="h1")
    assert {m["episode"] for m in messages_in(store).values()} == {episode("h1")}
    assert set(queue_of(store)) == {f"{episode('h1')}-a1", f"{episode('h1')}-again"}


async def test_read_only_turn_writes_nothing(drive: Driver, store: WatchedStore) -> None:
    assert await drive(record(state(*turns(1, 1)), READ_ONLY, store, now=NOW)) == {}
    assert not store.batches


async def test_redaction_reaches_text_and_context_once(drive: Driver, store: WatchedStore) -> None:
    seen: list[str] = []

    def redact(text: str) -> str:
        seen.append(text)
        return text.replace("4711", "<pin>") + "!"

    history = state(human("h1", "My pin is 4711"), ai("a1", "I noted 4711"))
    await drive(record(history, ALEX, store, now=NOW, redact=redact))
    kept = messages_in(store)
    assert (kept["h1"]["text"], kept["a1"]["text"]) == ("My pin is <pin>!", "I noted <pin>!")
    assert kept["a1"]["context"] == "My pin is <pin>!"
    assert "<pin>" not in "".join(seen), "the result is not redacted again"
    assert "4711" not in json.dumps([op.value for ops in store.writes for op in ops])


async def test_context_is_the_end_of_the_message_before(drive: Driver, store: WatchedStore) -> None:
    await write(drive, store, human("h1", "a" + "b" * CONTEXT_CHARACTERS), ai("a1"))
    assert messages_in(store)["a1"]["context"] == "b" * CONTEXT_CHARACTERS


async def test_name_of_a_person_is_the_speaker_and_that_of_an_agent_is_not(drive: Driver, store: WatchedStore) -> None:
    await write(drive, store, human("h1", name="Caroline"), AIMessage("Hello", id="a1", name="agent"))
    assert {key: m["speaker"] for key, m in messages_in(store).items()} == {"h1": "Caroline", "a1": None}


async def test_users_and_threads_do_not_mix(drive: Driver, store: WatchedStore) -> None:
    for scope in (ALEX, Scope(user_id="sam", thread_id="t1"), Scope(user_id="sam", thread_id="t2")):
        await drive(record(state(human("h1", scope.user_id)), scope, store, now=NOW))
    assert [m["text"] for m in messages_in(store).values()] == [ALEX.user_id]
    sam = store.search(Scope(user_id="sam").namespace("messages"))
    assert {(item.namespace[-1], item.value["episode"]) for item in sam} == {
        ("t1", episode("h1", "t1")),
        ("t2", episode("h1", "t2")),
    }


async def test_appending_counts_only_what_is_new(drive: Driver, store: WatchedStore) -> None:
    spoken = utterances(turns(1, 2), now=day(-30))
    assert await drive(append(spoken, ALEX, store, now=NOW)) == 4
    store.forget_calls()
    assert await drive(append(spoken, ALEX, store, now=day(1))) == 0
    assert not store.writes
    longer = [*spoken, *utterances(turns(3, 3), now=day(-29), start=4)]
    assert await drive(append(longer, ALEX, store, now=day(1))) == 2
    kept = messages_in(store)
    assert (kept["h1"]["at"], kept["a3"]["at"], kept["a3"]["position"]) == (iso(-30), iso(-29), 5)


async def test_store_that_fails_is_not_passed_over(drive: Driver, store: WatchedStore) -> None:
    store.fails_from = 0
    with pytest.raises(ConnectionError):
        await write(drive, store, *turns(1, 1))


@pytest.mark.parametrize(("cursor", "index"), [("a1", 1), ("h2", 2), ("gone", -1), ("", -1)])
def test_cursor_is_found_by_id(cursor: str, index: int) -> None:
    assert cursor_index(state(*turns(1, 2), recorded_through=cursor)) == index
    assert cursor_index(state(*turns(1, 2))) == -1


def test_positions_count_what_is_left_out() -> None:
    spoken = utterances([system("s"), human("h1"), ai("a1", ""), ai("a2")], now=NOW, start=5)
    assert [(said.id, said.position) for said in spoken] == [("h1", 6), ("a2", 8)]


async def test_result_made_of_documents_is_trusted_as_a_document(drive: Driver, store: WatchedStore) -> None:
    found = ToolMessage("Acme is big.", id="t1", tool_call_id="c", artifact=[Document("Acme is big.")])
    other = ToolMessage("42", id="t2", tool_call_id="d", artifact=[42])
    await write(drive, store, human("h1"), ai("a1", calls=("c", "d")), found, other)
    assert {key: trust_of(message) for key, message in messages_in(store).items()} == {
        "h1": "user",
        "a1": "assistant",
        "t1": "document",
        "t2": "tool",
    }
