"""What is remembered reaches the model and the caller, and no log, no exception and no span besides."""

from __future__ import annotations

import logging
import platform
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import PutOp, SearchOp

from langchain_hybrid_memory import AmbiguousNameError, HybridMemory, HybridMemoryError, StorageError
from langchain_hybrid_memory.hybrid_memory import open_store
from tests.doubles.doors import Door
from tests.doubles.embedding import WordEmbedding
from tests.doubles.life import SECONDS, WatchedStore, configured, learning_model, store_in_memory, talking_model
from tests.doubles.scripted import Fault
from tests.integration_tests.quiet import CALLS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langgraph.store.base import Op

CANARY = "Zanzibarquux"
SAID = [f"I live in {CANARY}.", f"{CANARY} Lee works at Acme as a {CANARY.lower()} cook.", "Where do I live?"]
LEARNED = "The user lives in"
"""Only the extracting model says so."""


class Spans(BaseCallbackHandler):
    """Keeps everything a tracer of the turn is told."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.seen.append(repr((args, kwargs)))

    on_chain_start = on_chain_end = on_llm_end = on_llm_new_token = on_chain_error = on_llm_error = on_chat_model_start
    on_custom_event = on_chat_model_start


class QuotingError(Exception):
    """Stands for an exception of a library that quotes what it was given."""


def leaks(*texts: str) -> list[str]:
    """The lines that quote what is remembered, cut short."""
    return [line[:200] for text in texts for line in text.splitlines() if CANARY.lower() in line.lower()]


def failing(kind: type[Op]) -> Callable[[str, list[Op]], None]:
    """Fail, quoting everything, once a store is asked for an operation of a kind."""

    def watch(_: str, ops: list[Op]) -> None:
        if any(isinstance(op, kind) for op in ops):
            raise QuotingError(repr(ops)) from ValueError(f"{CANARY}: {ops!r}")

    return watch


async def live(call: Door, memory: HybridMemory, *handlers: BaseCallbackHandler) -> None:
    graph = memory.graph(talking_model())
    for text in SAID:
        config = configured("alex", "t") | {"callbacks": list(handlers)}
        await call(graph, "invoke", {"messages": [("user", text)]}, config)
        await call(memory, "flush", SECONDS)


def opened(store: Any = None, **options: Any) -> HybridMemory:
    return HybridMemory(learning_model(**options), store=store or store_in_memory(), checkpointer=InMemorySaver())


@pytest.mark.parametrize("case", ["well", "model", "extraction", "reading", "writing", "listener"])
async def test_log_holds_nothing_that_is_remembered(call: Door, caplog: pytest.LogCaptureFixture, case: str) -> None:
    caplog.set_level(logging.DEBUG)
    error = QuotingError(CANARY)
    failures = {
        "model": {("structured", n): error for n in range(9)},
        "extraction": {("structured", n): Fault.MALFORMED for n in range(9)},
    }
    stores = {"reading": SearchOp, "writing": PutOp}
    store = WatchedStore(store_in_memory(), failing(stores[case])) if case in stores else store_in_memory()

    def listen(*_: object) -> None:
        if case == "listener":
            raise error

    model = learning_model(failures=failures.get(case, {}))
    memory = HybridMemory(model, store=store, checkpointer=InMemorySaver(), on_memorized=listen)
    await live(call, memory) if case not in stores else await contained(call, memory)
    status = "" if case == "reading" else repr(memory.status())
    assert leaks(caplog.text, status, repr(memory)) == []
    told = any("QuotingError" in record.getMessage() for record in caplog.records)
    assert told or case in ("well", "extraction", "model"), "the failure itself is told"


async def contained(call: Door, memory: HybridMemory) -> None:
    """Live a life whose store fails; what a caller asks for raises what the store raises."""
    graph = memory.graph(talking_model())
    for text in SAID:
        await call(graph, "invoke", {"messages": [("user", text)]}, configured("alex", "t"))
        with suppress(QuotingError):
            await call(memory, "flush", SECONDS)


async def test_debug_is_what_shows_more(call: Door, caplog: pytest.LogCaptureFixture) -> None:
    store = WatchedStore(store_in_memory(), failing(SearchOp))
    memory = HybridMemory(None, store=store, extraction="manual", debug=True)
    await call(memory.graph(talking_model()), "invoke", {"messages": [("user", SAID[0])]}, configured("alex", "t"))
    assert leaks(caplog.text)


async def test_spans_of_a_turn_hold_what_its_model_read_and_nothing_memory_did_for_itself(call: Door) -> None:
    spans = Spans()
    memory = opened()
    await live(call, memory, spans)
    assert any(LEARNED in fact.text for fact in await call(memory.for_user("alex"), "facts"))
    inner = [seen for seen in spans.seen if "long-term memory of an assistant" in seen or "running summary" in seen]
    assert spans.seen
    assert not inner


async def test_errors_of_ours_quote_no_memory(call: Door, tmp_path: Path) -> None:
    with open_store(tmp_path / "memory", embedding=WordEmbedding()) as store:
        memory = opened(store)
        await live(call, memory)
        alex = memory.for_user("alex")
        attempts: Sequence[tuple[str, tuple[Any, ...]]] = [
            ("edit", ("nothing", CANARY)),
            ("pin", ("nothing",)),
            ("why", ("nothing",)),
        ]
        for name, arguments in attempts:
            with pytest.raises(HybridMemoryError) as raised:
                await call(alex, name, *arguments)
            assert leaks(*traceback.format_exception(raised.value)) == []
    with pytest.raises(StorageError) as closed:
        await call(store, "search", ("memory",), query=CANARY)
    assert leaks(*traceback.format_exception(closed.value)) == []


def test_only_the_answer_to_an_ambiguous_name_names_names() -> None:
    assert "names to choose from" in (AmbiguousNameError.__doc__ or "")


NATIVE = sys.platform == "linux" and platform.machine() in CALLS
"""Whether the kernel can be asked to forbid connections, which holds for native code too."""


def quiet(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Live some turns where a connection ends the process, and where nothing tells libraries that this is a test."""
    return subprocess.run(  # noqa: S603 - our own script in our own interpreter
        [sys.executable, "-m", "tests.integration_tests.quiet", str(folder), *arguments],
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(not NATIVE, reason="forbids connections with a filter of Linux, by numbers of this machine's calls")
def test_turns_with_chroma_and_onnxruntime_connect_to_nothing_and_leave_no_trace(tmp_path: Path) -> None:
    done = quiet(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    recalled, imported, left = done.stdout.splitlines()
    assert "The user lives in Lisbon." in recalled
    assert imported == "['onnxruntime']", "and no library of telemetry beside it"
    assert left == "[]", "such as the device id of onnxruntime's telemetry"


@pytest.mark.skipif(not NATIVE, reason="as above")
def test_connection_would_be_found_out(tmp_path: Path) -> None:
    assert quiet(tmp_path, "reach").returncode == -signal.SIGSYS
