"""A history is imported whole, once, in order, whatever happens in between."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from langchain_hybrid_memory import HybridMemory, ImportFormatError
from langchain_hybrid_memory.cli import importing
from langchain_hybrid_memory.cli.formats import read_history
from langchain_hybrid_memory.cli.importing import import_history, learn
from langchain_hybrid_memory.cli.screen import Screen
from langchain_hybrid_memory.hybrid_memory import open_store
from langchain_hybrid_memory.records import StoredMessage
from langchain_hybrid_memory.scope import Scope
from tests.doubles.embedding import WordEmbedding
from tests.doubles.life import learning_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from langchain_hybrid_memory.cli.importing import Tally
    from langchain_hybrid_memory.store import ChromaStore

DAY = "2024-05-01T10:00:00+00:00"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ChromaStore]:
    with open_store(tmp_path / "memory", embedding=WordEmbedding()) as opened:
        yield opened


@pytest.fixture
def screen() -> Screen:
    quiet = Screen()
    quiet.err = Console(file=io.StringIO(), width=160)
    return quiet


def lines(folder: Path, records: Sequence[Any], name: str = "history.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(f"{record if isinstance(record, str) else json.dumps(record)}\n" for record in records))
    return path


def said(text: str, *, role: str = "user", thread: str = "t", **more: Any) -> dict[str, Any]:
    return {"thread": thread, "role": role, "text": text, **more}


def bring(store: ChromaStore, path: Path, screen: Screen, **options: Any) -> Tally:
    with HybridMemory(None, store=store) as memory:
        return import_history(read_history(path), memory, "alex", screen=screen, **options)


def log(store: ChromaStore, user: str = "alex") -> list[StoredMessage]:
    found = store.search(Scope(user_id=user).namespace("messages"), limit=10_000)
    messages: list[Any] = [item.value for item in found]
    return sorted(messages, key=lambda message: (message["thread"], message["position"]))


def test_messages_are_in_the_log_verbatim_with_time_speaker_and_order(
    tmp_path: Path, store: ChromaStore, screen: Screen
) -> None:
    records = [
        said("I live in Lisbon.", time=DAY, id="a"),
        said("Nice!", role="assistant"),
        {"thread": "u", "speaker": "Sarah", "text": "Hello", "time": DAY},
    ]
    tally = bring(store, lines(tmp_path, records), screen)
    assert str(tally) == "imported 3 messages of 2 threads, indexed 3"
    first, second, third = log(store)
    assert (first["id"], first["text"], first["at"], first["role"]) == ("a", "I live in Lisbon.", DAY, "user")
    assert (second["position"], second["episode"], second["context"]) == (1, first["episode"], first["text"])
    assert second["at"] == DAY
    assert (third["thread"], third["speaker"], third["position"]) == ("u", "Sarah", 0)
    assert all(message["is_indexed"] for message in (first, second, third))


def test_nothing_waits_in_the_queue_without_a_model(tmp_path: Path, store: ChromaStore, screen: Screen) -> None:
    bring(store, lines(tmp_path, [said("I live in Lisbon.")]), screen)
    with HybridMemory(None, store=store) as memory:
        assert memory.status().pending == 0
        assert [hit.text for hit in memory.for_user("alex").recall("Lisbon")] == ["I live in Lisbon."]


def test_a_message_without_a_time_before_any_is_dated_now(tmp_path: Path, store: ChromaStore, screen: Screen) -> None:
    before = datetime.now(UTC)
    bring(store, lines(tmp_path, [said("Hello")]), screen)
    assert before <= datetime.fromisoformat(log(store)[0]["at"]) <= datetime.now(UTC)


def test_importing_again_changes_nothing(tmp_path: Path, store: ChromaStore, screen: Screen) -> None:
    path = lines(tmp_path, [said("Yes"), said("Hello", id="m1"), said("Yes")])
    bring(store, path, screen)
    before = log(store)
    assert str(bring(store, path, screen)) == "imported 0 messages of 1 thread (3 were known already), indexed 0"
    assert log(store) == before


def test_threads_may_be_interleaved_and_larger_than_a_batch(
    tmp_path: Path, store: ChromaStore, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "BATCH", 4)
    roles = ("user", "assistant", "assistant")
    records = [
        said(f"{thread} says {number}", role=roles[number % 3], thread=thread)
        for number in range(9)
        for thread in ("a", "b")
    ]
    bring(store, lines(tmp_path, records), screen)
    messages = [message for message in log(store) if message["thread"] == "b"]
    assert [message["text"] for message in messages] == [f"b says {number}" for number in range(9)]
    assert [message["position"] for message in messages] == list(range(9))
    assert [message["context"] for message in messages][1:] == [message["text"] for message in messages][:-1]
    episodes = [message["episode"] for message in messages]
    assert [episodes[number] == episodes[number - 1] for number in range(1, 9)] == [
        True, True, False, True, True, False, True, True
    ]  # fmt: skip


def test_batches_leave_the_same_log_as_one_piece(
    tmp_path: Path, store: ChromaStore, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [said(f"number {number}", role=("user", "assistant")[number % 2], time=DAY) for number in range(20)]
    path = lines(tmp_path, records)
    bring(store, path, screen)
    monkeypatch.setattr(importing, "BATCH", 3)
    with open_store(tmp_path / "other", embedding=WordEmbedding()) as other:
        bring(other, path, screen)
        assert log(other) == log(store)


def test_threads_can_be_prefixed(tmp_path: Path, store: ChromaStore, screen: Screen) -> None:
    bring(store, lines(tmp_path, [said("Hello")]), screen, thread_prefix="old/")
    assert [message["thread"] for message in log(store)] == ["old/t"]


def test_what_stands_before_an_unreadable_line_is_imported_and_searchable(
    tmp_path: Path, store: ChromaStore, screen: Screen
) -> None:
    path = lines(tmp_path, [said("I live in Lisbon."), said("Hello"), "{broken", said("never read")])
    with pytest.raises(ImportFormatError) as raised:
        bring(store, path, screen)
    assert f"{path}, line 3: not JSON" in str(raised.value)
    assert str(raised.value).endswith("The 2 messages before it are imported; mend the file and import it again")
    assert [message["is_indexed"] for message in log(store)] == [True, True]
    lines(tmp_path, [said("I live in Lisbon."), said("Hello"), said("mended"), said("read now")])
    assert str(bring(store, path, screen)) == "imported 2 messages of 1 thread (2 were known already), indexed 2"


def test_what_a_killed_import_had_recorded_but_not_indexed_is_indexed(
    tmp_path: Path, store: ChromaStore, screen: Screen
) -> None:
    path = lines(tmp_path, [said(f"word {number}") for number in range(5)])
    with HybridMemory(None, store=store) as memory:
        recorder = importing.Recorder(memory.for_user("alex"), now=lambda: datetime.now(UTC))
        assert recorder.record(list(read_history(path).turns)) == 5
    assert str(bring(store, path, screen)) == "imported 0 messages of 1 thread (5 were known already), indexed 5"
    assert all(message["is_indexed"] for message in log(store))


def test_facts_are_learned_with_the_dates_of_the_history(tmp_path: Path, store: ChromaStore, screen: Screen) -> None:
    records = [said("I live in Lisbon.", time=DAY), said("Nice!", role="assistant"), said("Bye")]
    reports: list[Any] = []
    with HybridMemory(learning_model(), store=store, on_memorized=lambda _, report: reports.append(report)) as memory:
        import_history(read_history(lines(tmp_path, records)), memory, "alex", screen=screen)
        learn(memory, reports, screen)
        (fact,) = memory.for_user("alex").facts()
        assert memory.status().pending == 0
    assert "Lisbon" in fact.text
    assert fact.said_at == datetime.fromisoformat(DAY)


def test_turns_that_could_not_be_learned_are_said_to_stay_queued(
    tmp_path: Path, store: ChromaStore, screen: Screen
) -> None:
    broken = learning_model(failures={("structured", number): ConnectionError() for number in range(9)})
    with HybridMemory(broken, store=store) as memory:
        import_history(read_history(lines(tmp_path, [said("I live in Lisbon.")])), memory, "alex", screen=screen)
        learn(memory, [], screen)
    assert isinstance(screen.err.file, io.StringIO)
    assert "1 turn stays queued" in screen.err.file.getvalue()


def test_users_of_one_memory_do_not_share_what_is_imported(tmp_path: Path, store: ChromaStore, screen: Screen) -> None:
    bring(store, lines(tmp_path, [said("I live in Lisbon.")]), screen)
    with HybridMemory(None, store=store) as memory:
        assert memory.for_user("sam").recall("Lisbon") == []
