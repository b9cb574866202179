"""Workers over one Postgres: what an application queued is learned once, however many of them there are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.store.postgres import PostgresStore
from typer.testing import CliRunner

from langchain_hybrid_memory import ChromaStore, HybridMemory
from langchain_hybrid_memory.cli.app import app
from tests.doubles.chroma_server import ChromaServer
from tests.doubles.embedding import WordEmbedding
from tests.doubles.life import learning_model
from tests.integration_tests.test_command_line import PROGRAM, SECONDS, Shell, brain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.doubles.openai_stub import OpenAIStub

ROOT = Path(__file__).parents[2]
DRINKS = ("tea", "milk", "juice", "water", "coffee", "cocoa", "wine", "beer")
USERS = ("alex", "maria", "sam")


@contextmanager
def application(uri: str) -> Iterator[HybridMemory]:
    """Open the memory of an application that leaves the learning to others."""
    embedding = WordEmbedding()
    index: Any = {"embed": embedding, "dims": embedding.dimensions, "fields": ["text"]}
    with PostgresStore.from_conn_string(uri, index=index) as store:
        store.setup()
        with HybridMemory(learning_model(), store=store, extraction="manual") as memory:
            yield memory


def queue_up(memory: HybridMemory) -> None:
    """Put turns on record that are still to be learned from."""
    for user in USERS:
        said = [HumanMessage(f"I prefer {drink}.", id=f"{user} {drink}") for drink in DRINKS]
        assert memory.for_user(user).record(said, thread_id="first") == len(DRINKS)


def facts_of(memory: HybridMemory, user: str) -> list[str]:
    return sorted(fact.value for fact in memory.for_user(user).facts(current_only=False))


@pytest.mark.timeout(180)
def test_two_workers_at_once_leave_no_twin(postgres: str) -> None:
    with application(postgres) as memory:
        queue_up(memory)
        command = [sys.executable, "-m", "tests.integration_tests.work", postgres]
        workers = [
            subprocess.Popen(  # noqa: S603 - our own script in our own interpreter
                [*command, str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
            )
            for seed in (0, 1_000)
        ]
        try:
            for worker in workers:
                assert worker.stdout is not None
                assert worker.stdout.readline() == "ready\n"
            reports = [json.loads(line) for line in _go(workers)]
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
        assert [report["error"] for report in reports] == [None, None]
        assert sum(report["calls"] for report in reports) <= 2 * len(USERS), "each paid for its own users, or both did"
        assert [facts_of(memory, user) for user in USERS] == [sorted(DRINKS)] * len(USERS)
        assert memory.status().pending == 0
        assert not memory.store.search(("memory", "lease"))


def _go(workers: list[subprocess.Popen[str]]) -> list[str]:
    """Set them off together, and wait for what they say."""
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    outputs = [worker.communicate(timeout=SECONDS)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    return outputs


def test_worker_drains_a_postgres_store(postgres: str, openai_stub: OpenAIStub) -> None:
    openai_stub.brain = brain
    with application(postgres) as memory:
        queue_up(memory)
        result = run_worker(openai_stub, "--store", postgres, "--once", "--embedding", "openai:text-embedding-3-small")
        assert (result.returncode, result.stdout.splitlines()[-1].partition(";")[0]) == (0, "0 turns waiting")
        assert [facts_of(memory, user) for user in USERS] == [sorted(DRINKS)] * len(USERS)


def test_worker_drains_a_chroma_server(tmp_path: Path, openai_stub: OpenAIStub) -> None:
    openai_stub.brain = brain
    index: Any = {"embed": WordEmbedding(), "fields": ["text"]}
    with ChromaServer(tmp_path) as server:
        store = ChromaStore(server.client(), index=index)
        with HybridMemory(learning_model(), store=store, extraction="manual") as memory:
            queue_up(memory)
            embedding = ("--embedding", "openai:text-embedding-3-small")
            result = run_worker(openai_stub, "--store", f"http://127.0.0.1:{server.port}", "--once", *embedding)
            assert (result.returncode, result.stderr.count("error")) == (0, 0)
            assert [facts_of(memory, user) for user in USERS] == [sorted(DRINKS)] * len(USERS)
            assert memory.status().pending == 0


@pytest.mark.parametrize(
    ("store", "said"),
    [
        (".hybrid-memory", "belongs to one process at a time.* --store http://.*--store postgresql://"),
        ("redis://127.0.0.1", "cannot open 'redis' stores"),
    ],
)
def test_worker_says_in_a_line_why_a_store_cannot_be_shared(store: str, said: str) -> None:
    result = CliRunner().invoke(app, ["worker", "--store", store])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert re.match(f"error: .*{said}", line)


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ("postgresql://nobody@127.0.0.1:9/none", "the Postgres store cannot be used: "),
        ("http://127.0.0.1:9", "the Chroma server 'http://127.0.0.1:9' cannot be used: "),
    ],
)
def test_worker_says_in_a_line_that_the_server_is_away(
    openai_stub: OpenAIStub, monkeypatch: pytest.MonkeyPatch, store: str, said: str
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", openai_stub.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "stub")
    where = ["--store", store, "--embedding", "openai:text-embedding-3-small"]
    result = CliRunner().invoke(app, ["worker", *where])
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: {said}")


def run_worker(stub: OpenAIStub, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own program
        [*PROGRAM, "worker", *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        cwd=ROOT,
        env=Shell(stub, ROOT).environment,
        check=False,
    )
