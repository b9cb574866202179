"""`HybridMemory`: ties model, store, checkpointer and configuration together and opens every door."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from types import NoneType, TracebackType
from typing import Any, Self

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, SystemMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import MessagesState
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore

from langchain_hybrid_memory._flow import Flow, arun, blocking, run
from langchain_hybrid_memory.background import Background, Listener
from langchain_hybrid_memory.budget import TokenCounter, approximate_tokens
from langchain_hybrid_memory.chat_model import create_chat_model
from langchain_hybrid_memory.config import (
    BufferConfig,
    ExtractConfig,
    ExtractionMode,
    MemorizeConfig,
    RecallConfig,
    RecordConfig,
    SummaryConfig,
)
from langchain_hybrid_memory.core import Core
from langchain_hybrid_memory.embedding import create_embedding
from langchain_hybrid_memory.errors import ConfigurationError
from langchain_hybrid_memory.graph import turn_graph
from langchain_hybrid_memory.memorize import MemorizeState, memorize_graph
from langchain_hybrid_memory.middleware import HybridMemoryMiddleware
from langchain_hybrid_memory.nodes import Nodes
from langchain_hybrid_memory.redaction import Redactor, keep_everything, without_secrets
from langchain_hybrid_memory.retriever import MemoryRetriever
from langchain_hybrid_memory.state import MemoryState
from langchain_hybrid_memory.status import Status
from langchain_hybrid_memory.steps.find import EVERY_KIND, HitKind
from langchain_hybrid_memory.store import ChromaStore
from langchain_hybrid_memory.tools import create_tools
from langchain_hybrid_memory.user_memory import UserMemory

DEFAULT_PATH = Path(".hybrid-memory")
KEYWORD_FIELDS = ("speaker", "text", "context", "day_words")
CLOSE_SECONDS = 5.0
PARTS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "model": ((BaseChatModel, str, NoneType), "a chat model itself, with nothing bound to it"),
    "store": ((BaseStore, str, PathLike, NoneType), "a directory, or a store: ChromaStore(client)"),
    "embedding": ((Embeddings, str, NoneType), "LangChain embeddings or a name"),
    "buffer": ((BufferConfig,), "BufferConfig(...)"),
    "summary": ((SummaryConfig,), "SummaryConfig(...)"),
    "recall": ((RecallConfig,), "RecallConfig(...)"),
    "extract": ((ExtractConfig,), "ExtractConfig(...)"),
    "memorize": ((MemorizeConfig,), "MemorizeConfig(...)"),
    "record": ((RecordConfig,), "RecordConfig(...)"),
}
"""What some arguments of `HybridMemory` may be, and what to pass."""

logger = logging.getLogger("langchain_hybrid_memory")


class HybridMemory:
    """Buffer, summary, entities and long-term facts for LangGraph agents.

    Open one for an application and use it from any thread or event loop; it serves all users. Use it as a context
    manager or call `close`.
    """

    def __init__(  # noqa: PLR0913 - every part of a memory can be set, all but the model by keyword
        self,
        model: str | BaseChatModel | None = None,
        *,
        store: BaseStore | str | Path | None = None,
        checkpointer: BaseCheckpointSaver[Any] | None = None,
        embedding: str | Embeddings | None = None,
        extraction: ExtractionMode = "background",
        buffer: BufferConfig = BufferConfig(),
        summary: SummaryConfig = SummaryConfig(),
        recall: RecallConfig = RecallConfig(),
        extract: ExtractConfig = ExtractConfig(),
        memorize: MemorizeConfig = MemorizeConfig(),
        record: RecordConfig = RecordConfig(),
        redact: Redactor | None = without_secrets,
        count_tokens: TokenCounter = approximate_tokens,
        on_memorized: Listener | None = None,
        tracers: Sequence[BaseCallbackHandler] = (),
        root: str = "memory",
        debug: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Set up a memory; nothing is opened, downloaded or started before it is needed.

        Args:
            model: Extracts and summarizes: a chat model, an `init_chat_model` string, or `None` to only record and
                recall.
            store: Keeps memories across threads: any LangGraph store, or the directory of a `ChromaStore`, opened and
                closed with the memory. `None` takes the store that a run brings along (a LangGraph server's), and
                else opens `./.hybrid-memory`.
            checkpointer: Keeps threads; passed to `graph`, and asked to delete a user's threads when they are
                forgotten.
            embedding: For a store opened here: embeddings, a name, or `None` for a small local English model.
            extraction: When the model is called: after the reply (`background`), before the turn ends (`inline`), or
                only in `flush` (`manual`). Messages are indexed in any case.
            buffer: Limits of the verbatim part of a prompt.
            summary: When a thread is summarized.
            recall: How much is brought back.
            extract: How facts are extracted.
            memorize: How many turns, tokens or quiet seconds one extraction waits for.
            record: How much of a message goes on record.
            redact: Takes secrets out of each text before it is remembered, by default keys, tokens, passwords and card
                numbers; `None` keeps everything. The thread itself, in the checkpoint, is not touched.
            count_tokens: Counts the tokens of a text.
            on_memorized: Called with user id and report after each memorize run, one that failed included; `None` logs
                what failed.
            tracers: Callback handlers that hear of memorize runs: root runs of their own, which name thread and run of
                the turns they serve in their metadata. No handler of a turn hears of them.
            root: First segment of every store namespace.
            debug: Log failures with their traceback, whose texts may quote what is remembered; otherwise only the kind
                of a failure is logged.
            now: The clock; returns aware datetimes.

        Raises:
            ConfigurationError: If the model cannot be set up, or a setting cannot work.
        """
        _check_mode(extraction)
        _check_types(model=model, store=store, embedding=embedding, buffer=buffer, summary=summary, recall=recall)
        _check_types(extract=extract, memorize=memorize, record=record)
        self._given_store = store if isinstance(store, BaseStore) else None
        self._path = None if store is None or isinstance(store, BaseStore) else Path(store)
        self._opened_store: ChromaStore | None = None
        self._embedding = embedding
        self.checkpointer = checkpointer
        self._core = Core(
            model=_quiet(model),
            own_store=lambda: self.store,
            prefers_injected_store=store is None,
            root=root,
            buffer=buffer,
            summary=summary,
            recall=recall,
            extract=extract,
            memorize=memorize,
            record=record,
            redact=redact or keep_everything,
            count=count_tokens,
            now=now,
            tracers=tuple(tracers),
            debug=debug,
        )
        self._background = Background(self._core, mode=extraction, listener=on_memorized)
        self.nodes = Nodes(self._core, self._background)

    def __repr__(self) -> str:
        """Name the model and the store."""
        store = self._given_store or self._opened_store or "a store opened when needed"
        return f"<HybridMemory model={type(self._core.model).__name__} store={store!r}>"

    @property
    def store(self) -> BaseStore:
        """The long-term store; a directory is opened on first use, `./.hybrid-memory` if nothing was given."""
        if self._given_store is not None:
            return self._given_store
        if self._opened_store is None:
            self._opened_store = open_store(self._path or DEFAULT_PATH, embedding=self._embedding)
            if self._path is None:
                logger.warning("no store was given: memories are kept in %r", self._opened_store)
        return self._opened_store

    def graph(
        self,
        model: str | Runnable[LanguageModelInput, AIMessage],
        *,
        system_prompt: str | SystemMessage | None = None,
    ) -> CompiledStateGraph[MemoryState, None, MessagesState, MessagesState]:
        """The whole loop as a graph, `recall - respond - record`, compiled with this memory's checkpointer.

        Args:
            model: Answers: a chat model, with tools or structured output bound as you like, or an `init_chat_model`
                string.
            system_prompt: Leads every prompt.
        """
        return turn_graph(
            self.nodes,
            model,
            system_prompt=system_prompt,
            checkpointer=self.checkpointer,
            store=self._given_store,
        )

    def memorize_graph(self) -> CompiledStateGraph[MemorizeState, None, MemorizeState, MemorizeState]:
        """The graph that learns from what was recorded, to run or deploy on its own; see `flush` for the usual way."""
        return memorize_graph(self._core, self._given_store)

    def middleware(self) -> HybridMemoryMiddleware:
        """The same turn as middleware for `create_agent`."""
        return HybridMemoryMiddleware(self._core, self._background)

    def tools(self) -> list[BaseTool]:
        """What a model may call by itself: `search_memory`, `save_memory` and `forget_memory`.

        They serve the user whom the run names, never one that a model names, and obey its `memory` switch. Beside the
        middleware or without it. What a model saves counts as its own word unless it quotes the user's.
        """
        return create_tools(self._core, self._background, self.checkpointer)

    def as_retriever(self, *, limit: int | None = None, kinds: tuple[HitKind, ...] = EVERY_KIND) -> MemoryRetriever:
        """A retriever for chains: facts and messages of the user whom the run names, as documents.

        Args:
            limit: At most this many; `RecallConfig.limit` if `None`.
            kinds: `facts`, `messages` or both.
        """
        return MemoryRetriever(self._core, limit=limit, kinds=kinds)

    def for_user(self, user_id: str) -> UserMemory:
        """One person's memory, outside any graph.

        Raises:
            MissingUserError: If `user_id` is empty.
        """
        return UserMemory(user_id, self._core, self._background, self.checkpointer)

    def flush(self, timeout: float | None = None) -> Status:
        """Learn from everything that is queued, and wait for it, at most `timeout` seconds.

        Turns that never ended and episodes that failed before are taken too. What is not done in time goes on in the
        background.
        """
        return run(self._background.flush(timeout))

    async def aflush(self, timeout: float | None = None) -> Status:  # noqa: ASYNC109 - the twin of `flush`
        """Asynchronous `flush`."""
        return await arun(self._background.flush(timeout))

    def drain(self, timeout: float | None = None) -> Status:
        """Learn from what is due in the queue, whichever process left it there, and wait at most `timeout` seconds.

        What `hybrid-memory worker` does again and again. Unlike `flush` it leaves alone turns that never ended, users
        another process is learning for, and failures whose next attempt is not due.
        """
        return run(self._background.drain(timeout))

    async def adrain(self, timeout: float | None = None) -> Status:  # noqa: ASYNC109 - the twin of `drain`
        """Asynchronous `drain`."""
        return await arun(self._background.drain(timeout))

    def status(self) -> Status:
        """What waits, what failed and what the model calls cost."""
        return run(self._background.status())

    async def astatus(self) -> Status:
        """Asynchronous `status`."""
        return await arun(self._background.status())

    def close(self) -> None:
        """Learn what waited for further turns, for at most five seconds, and close the store if it was opened here.

        What is still queued stays in the store and is taken up by the next process. A memory that is used again opens
        its directory again, and has to be closed again.
        """
        run(self._close())

    async def aclose(self) -> None:
        """Asynchronous `close`."""
        await arun(self._close())

    def _close(self) -> Flow[None]:
        yield from self._background.stop(CLOSE_SECONDS)
        if self._opened_store is not None:
            store, self._opened_store = self._opened_store, None
            yield from blocking(store.close)

    def __enter__(self) -> Self:
        """Use the memory until the block ends."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the memory."""
        self.close()

    async def __aenter__(self) -> Self:
        """Use the memory until the block ends."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the memory."""
        await self.aclose()


def open_store(path: Path | str, *, embedding: str | Embeddings | None = None) -> ChromaStore:
    """Open a `ChromaStore` set up for this library: texts are embedded, and found by speaker and context words too."""
    return ChromaStore.open(
        path, index={"embed": create_embedding(embedding), "fields": ["text"]}, keywords=KEYWORD_FIELDS
    )


def _check_mode(extraction: str) -> None:
    if extraction not in ("background", "inline", "manual"):
        msg = f'extraction is {extraction!r}; use "background", "inline" or "manual"'
        raise ConfigurationError(msg)


def _check_types(**given: object) -> None:
    """Refuse what would fail only when it is needed, perhaps in the background."""
    for name, value in given.items():
        kinds, remedy = PARTS[name]
        if not isinstance(value, kinds):
            msg = f"{name} is of type {type(value).__name__}; pass {remedy}"
            raise ConfigurationError(msg)


def _quiet(model: str | BaseChatModel | None) -> BaseChatModel | None:
    """The model for internal calls: it never streams, so it has no tokens that could reach anybody."""
    chosen = create_chat_model(model) if isinstance(model, str) else model
    return chosen.model_copy(update={"disable_streaming": True}) if chosen else None
