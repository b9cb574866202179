"""What a version has kept, later versions open; what a newer one has written is refused."""

from __future__ import annotations

import shutil
import sqlite3
import tarfile
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

import pytest

from langchain_hybrid_memory import Fact, HybridMemory, StorageError
from langchain_hybrid_memory.hybrid_memory import open_store
from langchain_hybrid_memory.store import ChromaStore, _client_opening
from tests.doubles.embedding import WordEmbedding
from tests.doubles.everywhere import Backends
from tests.doubles.life import AT_ONCE, INTRODUCTION, SECONDS, configured, learning_model, open_life
from tests.integration_tests.keep import KEPT, MOVE

if TYPE_CHECKING:
    from pathlib import Path

    from chromadb.api import ClientAPI

    from tests.doubles.doors import Door, Mode

VERSIONS = sorted(KEPT.glob("*.tar.gz"))
LARGEST = 100_000
"""Bytes an archive takes at most."""


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name.removesuffix(".tar.gz"))
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of what a version has kept."""
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def test_something_is_kept_and_small() -> None:
    assert VERSIONS
    assert all(version.stat().st_size < LARGEST for version in VERSIONS)


async def test_facts_and_messages_are_found_again(kept: Path, mode: Mode) -> None:
    async with open_life(mode, kept, brain=None) as life:
        alex = life.memory.for_user("alex")
        facts = {fact.value: fact for fact in await life.facts(current_only=False)}
        assert {"Alex", "Lisbon", "Porto", "Google", "software engineer"} <= facts.keys()
        assert facts["Lisbon"].superseded_by == facts["Porto"].id
        assert facts["Alex"].is_pinned
        told = await life.call(alex, "why", facts["Porto"].id)
        assert [message.text for message in told.messages] == [MOVE]
        assert (await life.call(alex, "entity", "Sarah")).facts
        hits = await life.call(alex, "recall", "Where does Sarah work?")
        assert "Sarah works at Google" in hits[0].text
        again = [hit.item for hit in await life.call(alex, "recall", INTRODUCTION[1])]
        assert any((item.quote if isinstance(item, Fact) else item.text) in INTRODUCTION[1] for item in again)
        assert "Lisbon" in await life.call(alex, "summary", "first")


async def test_conversation_goes_on(kept: Path, mode: Mode) -> None:
    async with open_life(mode, kept, brain=learning_model(seed=1_000)) as life:
        values = (await life.call(life.agent, "get_state", configured("alex", "first"))).values
        assert [m.text for m in values["messages"] if m.type == "human"] == [*INTRODUCTION]
        await life.say("I prefer tea.")
        assert "The user's name is Alex." in life.prompt, "as pinned"
        assert INTRODUCTION[-1] in life.prompt, "from the window"
        status = await life.flush()
        assert (status.pending, status.last_error) == (0, None)
        assert {"tea", "Porto", "Google"} <= {fact.value for fact in await life.facts()}


def test_directory_of_a_newer_version_is_refused(kept: Path) -> None:
    with closing(sqlite3.connect(kept / "memory" / "catalog.sqlite3")) as connection:
        connection.execute("PRAGMA user_version = 1000")
    with pytest.raises(StorageError, match=r"has format 1000, newer than .* Upgrade the package"):
        open_store(kept / "memory", embedding=WordEmbedding())


def test_collection_of_a_newer_version_is_refused(chroma_client: ClientAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_shared() -> ChromaStore:
        return ChromaStore(chroma_client, index={"embed": WordEmbedding(), "dims": 256}, collection="newer-version")

    with monkeypatch.context() as later:
        later.setattr(_client_opening, "FORMAT", 1000)
        open_shared().put(("home",), "k", {"text": "words"})
    with pytest.raises(StorageError, match=r"has format 1000, newer than .* Upgrade the package"):
        open_shared().get(("home",), "k")
    with pytest.raises(StorageError, match=r"has format 1000, newer than .* Upgrade the package"):
        open_shared().put(("home",), "k", {"text": "other words"})


@pytest.mark.parametrize("kind", ["memory", "sqlite without vectors", "chroma", "postgres"])
async def test_record_of_a_newer_version_is_refused_in_every_store(
    kind: str, mode: Mode, call: Door, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    where, no_server = request.getfixturevalue("postgres") if kind == "postgres" else "", cast("Any", None)
    async with Backends(mode, tmp_path, where, no_server).store(kind) as store:
        memory = HybridMemory(learning_model(), store=store, memorize=AT_ONCE)
        alex, sam = memory.for_user("alex"), memory.for_user("sam")
        for user in (alex, sam):
            await call(user, "record", [("user", "I live in Lisbon.")], thread_id="t")
        await call(memory, "flush", SECONDS)
        (item, *_) = await call(store, "search", ("memory", "user", "alex", "facts"))
        await call(store, "put", item.namespace, item.key, {**item.value, "format": 1000})
        asked: list[tuple[Any, ...]] = [("facts",), ("recall", "Where do I live?"), ("why", item.key)]
        for name, *arguments in [*asked, ("forget_everything",), ("export", tmp_path / "alex.jsonl")]:
            with pytest.raises(StorageError, match=r"has format 1000, newer than .* Upgrade the package"):
                await call(alex, name, *arguments)
        assert [fact.value for fact in await call(sam, "facts")] == ["Lisbon"]
        kept = await call(store, "get", item.namespace, item.key)
        assert kept.value["format"] == 1000, "nothing was changed"
        await call(memory, "close")


def test_archives_say_nothing_of_the_machine_they_were_made_on(kept: Path) -> None:
    named = [str(kept).encode(), b"/tmp/", b"/home/", b"/root"]
    for file in kept.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        assert not [name for name in named if name in content], file.name
    shutil.rmtree(kept)
