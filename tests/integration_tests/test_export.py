"""What is exported is everything, and comes back as it was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from langchain_hybrid_memory import HybridMemory, SummaryConfig
from langchain_hybrid_memory.errors import ImportFormatError
from langchain_hybrid_memory.hybrid_memory import open_store
from langchain_hybrid_memory.steps import export as module
from tests.doubles.embedding import WordEmbedding
from tests.doubles.life import AT_ONCE, INTRODUCTION, SECONDS, learning_model, store_in_memory

if TYPE_CHECKING:
    from pathlib import Path

    from langgraph.store.base import BaseStore

    from tests.doubles.doors import Door

SUMMARY = SummaryConfig(after_messages=4, keep_messages=2)
MOVED = "Actually I moved to Porto last week."


def everything(store: BaseStore, user: str) -> list[tuple[Any, ...]]:
    items = [*store.search(("memory", "user", user), limit=1_000), *store.search(("memory", "pending", user))]
    values = [(item.namespace[3:], item.key, {**item.value, "user": ""}) for item in items]
    return sorted(values, key=lambda value: (value[0], value[1]))


async def lived(call: Door) -> HybridMemory:
    """A memory with something of every kind."""
    memory = HybridMemory(learning_model(), store=store_in_memory(), memorize=AT_ONCE, summary=SUMMARY)
    alex = memory.for_user("alex")
    for thread, texts in {"one/\ud83d": INTRODUCTION, "two": [MOVED, "I prefer tea.", "I live in Rome."]}.items():
        await call(alex, "record", [("user", text) for text in texts], thread_id=thread)
        await call(memory, "flush", SECONDS)
    facts = {fact.value: fact.id for fact in await call(alex, "facts")}
    await call(alex, "pin", facts["Google"])
    await call(alex, "forget", facts["tea"])
    memory.store.put(("memory", "pending", "alex"), "e-m", waiting())
    return memory


def waiting() -> dict[str, Any]:
    names: dict[str, Any] = {"user": "alex", "thread": "two", "episode": "e", "message_ids": ["m"], "recorded_at": ""}
    flags = {"is_complete": True, "learns": True, "is_indexed": True}
    return {**names, **flags, "attempts": 0, "retry_at": None, "error": None}


@pytest.mark.parametrize("page", [3, 500])
async def test_export_comes_back_as_it_was(
    tmp_path: Path, call: Door, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(module, "PAGE", page)
    memory, path, told = await lived(call), tmp_path / "alex.jsonl", list[int]()
    count = await call(memory.for_user("alex"), "export", path, told.append)
    assert (told[-1], path.stat().st_mode & 0o777) == (count, 0o600)
    held = everything(memory.store, "alex")
    kinds = {place[0] if place else "pending" for place, _, _ in held}
    assert kinds == {"pending", "messages", "facts", "entities", "summaries", "threads", "forgotten"}
    other = HybridMemory(None, store=store_in_memory())
    for _ in range(2):
        assert await call(other.for_user("sam"), "restore", path) == count == len(held)
        assert everything(other.store, "sam") == held
    hits = await call(other.for_user("sam"), "recall", "Where does Sarah work?")
    assert "Google" in hits[0].text
    assert await call(other.for_user("alex"), "facts") == []


async def test_export_that_is_broken_off_leaves_nothing_behind(tmp_path: Path, call: Door) -> None:
    memory = await lived(call)

    def stop(done: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await call(memory.for_user("alex"), "export", tmp_path / "alex.jsonl", stop)
    assert [*tmp_path.iterdir()] == []  # noqa: ASYNC240 - nothing else runs


@pytest.mark.timeout(3_600)
async def test_many_items_come_back_as_they_were_page_by_page(tmp_path: Path, call: Door, *, is_full: bool) -> None:
    many, path, back = 100_000 if is_full else 1_200, tmp_path / "many.jsonl", tmp_path / "back.jsonl"
    with open_store(tmp_path / "memory", embedding=WordEmbedding()) as store:
        alex = HybridMemory(None, store=store, extraction="manual").for_user("alex")
        await call(alex, "record", [("user", "I like tea.")], thread_id="t")
        await call(alex, "export", path)
        multiply(path, many)
        restored, exported = list[int](), list[int]()
        await call(alex, "forget_everything")
        assert await call(alex, "restore", path, restored.append) == restored[-1] == many
        assert await call(alex, "export", back, exported.append) == exported[-1] == many
    assert min(len(restored), len(exported)) >= many // module.PAGE, "each page is told of"
    is_equal = values_in(back) == values_in(path)
    assert is_equal, "what differs of so many would take minutes to show"


def values_in(path: Path) -> dict[str, dict[str, Any]]:
    """What an export holds, by key."""
    return {line["key"]: line["value"] for line in map(json.loads, path.read_text().splitlines()[1:])}


def multiply(path: Path, many: int) -> None:
    """Write a file that holds the message of an export so many times, each under a key of its own."""
    header, *lines = path.read_text().splitlines()
    (message,) = [line for line in map(json.loads, lines) if line["kind"] == "messages"]
    with path.open("w") as file:
        file.write(f"{header}\n")
        for number in range(many):
            changed = {"id": f"m{number}", "position": number, "text": f"I like tea {number}.", "is_indexed": True}
            value = {**message["value"], **changed}
            file.write(json.dumps({**message, "key": f"m{number}", "value": value}) + "\n")


async def test_what_was_forgotten_since_does_not_come_back(tmp_path: Path, call: Door) -> None:
    memory, path = await lived(call), tmp_path / "alex.jsonl"
    alex = memory.for_user("alex")
    await call(alex, "export", path)
    (rome,) = [fact for fact in await call(alex, "facts") if fact.value == "Rome"]
    await call(alex, "forget", rome.id)
    before = everything(memory.store, "alex")
    assert "Rome" in path.read_text()
    await call(alex, "restore", path)
    after = everything(memory.store, "alex")
    assert "Rome" not in json.dumps(after)
    assert [key for _, key, _ in after] == [key for _, key, _ in before]


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"kind": "facts", "key": "k", "value": {"text": "Quetzal"}}', '{"kind": "x", "key": 1}']
)
async def test_line_that_cannot_be_read_is_named_and_not_quoted(tmp_path: Path, call: Door, line: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps({"format": module.FORMAT, "version": 1}) + f"\n{line}\n")
    memory = HybridMemory(None, store=store_in_memory())
    with pytest.raises(ImportFormatError, match="line 2") as raised:
        await call(memory.for_user("alex"), "restore", path)
    assert "Quetzal" not in str(raised.value)


@pytest.mark.parametrize("line", ['{"format": "hybrid-memory export", "version": 2}', '{"thread": "t"}', ""])
async def test_file_of_another_format_or_version_is_refused(tmp_path: Path, call: Door, line: str) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text(line)
    with pytest.raises(ImportFormatError):
        await call(HybridMemory(None, store=store_in_memory()).for_user("alex"), "restore", path)
