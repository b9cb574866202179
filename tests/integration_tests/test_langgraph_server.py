"""A LangGraph server loads `ChromaStore` as its store and graphs with memory; it forbids what would block its loop."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from langgraph_sdk import get_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph_sdk.client import LangGraphClient

ROOT = Path(__file__).parents[2]
HOME = ["user", "alex"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_up(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def serve(directory: Path, port: int, log: Path) -> subprocess.Popen[bytes]:
    """Start the server and wait until it listens."""
    options = ["--port", str(port), "--config", "langgraph.json", "--no-browser", "--no-reload"]
    offline = {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGSMITH_TRACING": "false", "PYTHONPATH": str(ROOT)}
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", "langgraph_cli", "dev", *options],
            cwd=directory,
            env=os.environ | offline,
            stdout=output,
            stderr=output,
        )
    end = time.monotonic() + 90
    while not is_up(port):
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            pytest.fail(f"the server did not start: {log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.1)
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a running server, and its log."""
    directory, log, port = tmp_path / "server", tmp_path / "log", free_port()
    shutil.copytree(Path(__file__).parent / "server", directory)
    process = serve(directory, port, log)
    try:
        yield f"http://127.0.0.1:{port}", log
    finally:
        stop(process)


def visit(address: str, user: str) -> LangGraphClient:
    """Come in as somebody."""
    return get_client(url=address, api_key=None, headers={"Authorization": f"Bearer {user}"})


@pytest.mark.skipif(find_spec("langgraph_api") is None, reason="needs langgraph-cli[inmem], which has the server")
async def test_items_and_graphs_are_served(server: tuple[str, Path]) -> None:
    address, log = server
    async with visit(address, "alex") as alex, visit(address, "bea") as bea:
        await keep_items(alex)
        await run_graph(alex)
        await talk(alex)
        await learn(alex)
        await ask(alex, bea)
    assert "Using custom store" in (text := log.read_text(errors="replace"))
    assert "BlockingError" not in text
    assert "Traceback" not in text


async def keep_items(client: LangGraphClient) -> None:
    """Put, get, search, list and delete through the store's HTTP routes, some at the same time."""
    texts = ["a cat named Miso", "a walk by the harbor", "我的猫很可爱"]
    await asyncio.gather(*(client.store.put_item(HOME, str(n), {"text": text, "n": n}) for n, text in enumerate(texts)))
    assert (await client.store.get_item(HOME, "1"))["value"] == {"text": "a walk by the harbor", "n": 1}
    found: Any = await client.store.search_items(["user"], query="harbor walk", limit=1)
    assert [(item["namespace"], item["key"], item["score"] > 0.5) for item in found["items"]] == [(HOME, "1", True)]
    cat = await client.store.search_items(HOME, query="猫", limit=1)
    assert [item["key"] for item in cat["items"]] == ["2"]
    filtered = await client.store.search_items(HOME, filter={"n": {"$gte": 1}}, limit=10)
    assert {item["key"] for item in filtered["items"]} == {"1", "2"}
    await client.store.put_item(HOME, "short", {"text": "soon gone"}, ttl=0)
    assert (await client.store.list_namespaces(prefix=["user"]))["namespaces"] == [HOME]
    await client.store.delete_item(HOME, "1")
    left = await client.store.search_items(HOME, limit=10)
    assert {item["key"] for item in left["items"]} == {"0", "2"}


async def run_graph(client: LangGraphClient) -> None:
    """A first run notes something in one thread; a second finds it in another, and its answer is streamed."""
    told: Any = await client.runs.wait(
        (await client.threads.create())["thread_id"], "notes", input=human("I like Lisbon.")
    )
    assert told["messages"][-1]["content"] == "I know: nothing yet"
    thread = (await client.threads.create())["thread_id"]
    parts = [
        part.data[0]["content"]
        async for part in client.runs.stream(thread, "notes", input=human("Lisbon?"), stream_mode="messages-tuple")
        if part.event == "messages"
    ]
    assert len(parts) > 3
    assert "".join(parts) == "I know: I like Lisbon."
    kept = await client.store.search_items(["notes"], limit=10)
    assert [item["value"]["text"] for item in kept["items"]] == ["Lisbon?", "I like Lisbon."]


def human(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


async def talk(alex: LangGraphClient) -> None:
    """A turn answers with its own tokens alone, and tells what memory did."""
    thread = (await alex.threads.create())["thread_id"]
    said = human("I live in Lisbon.")
    parts = [
        part async for part in alex.runs.stream(thread, "turn", input=said, stream_mode=["messages-tuple", "custom"])
    ]
    tokens = [part.data[0]["content"] for part in parts if part.event == "messages"]
    assert "".join(tokens) == "You said: I live in Lisbon."
    assert len(tokens) > 3
    told = [part.data for part in parts if part.event == "custom"]
    assert [event["type"] for event in told] == ["memory.recalled", "memory.recorded"]
    assert {event["thread_id"] for event in told} == {thread}
    state: Any = await alex.threads.get_state(thread)
    assert told[1]["ids"] == [message["id"] for message in state["values"]["messages"]]


async def learn(alex: LangGraphClient) -> None:
    """The scheduler may run the graph that learns; here it is run at once, as a run without a thread."""
    cron: Any = await alex.crons.create("learn", schedule="0 3 * * *", input={})
    await alex.crons.delete(cron["cron_id"])
    learned: Any = await alex.runs.wait(None, "learn", input={})
    assert learned == {"pending": 0}
    facts = await alex.store.search_items(["memory", "user", "alex", "facts"], limit=10)
    assert [item["value"]["value"] for item in facts["items"]] == ["Lisbon"]
    again: Any = await alex.runs.wait(None, "memorize", input={"user_id": "alex", "learns": True})
    assert again["report"].get("failed", 0) == 0


async def ask(alex: LangGraphClient, bea: LangGraphClient) -> None:
    """Another thread of the same authenticated user finds the fact; another user's does not."""
    asked = human("Where do I live?")
    found: Any = await alex.runs.wait((await alex.threads.create())["thread_id"], "turn", input=asked)
    assert "lives in Lisbon" in found["messages"][-1]["content"]
    searched: Any = await alex.runs.wait((await alex.threads.create())["thread_id"], "agent", input=asked)
    assert "lives in Lisbon" in searched["messages"][-1]["content"]
    assert searched["messages"][-2]["name"] == "search_memory"
    other: Any = await bea.runs.wait((await bea.threads.create())["thread_id"], "turn", input=asked)
    assert other["messages"][-1]["content"] == "You said: Where do I live?"
