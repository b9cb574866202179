"""What a chain may call: the user's memory as a LangChain retriever."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, set_config_context
from pydantic import Field, PrivateAttr

from langchain_hybrid_memory._flow import Flow, arun, run
from langchain_hybrid_memory.core import Core
from langchain_hybrid_memory.memories import Fact, Hit
from langchain_hybrid_memory.steps.find import EVERY_KIND, HitKind, Only, find, kind_of


class MemoryRetriever(BaseRetriever):
    """Finds facts and messages of the user whom the run names, or of the one it is bound to, best first.

    Each document holds the words; its metadata `kind` (`fact` or `message`), `id`, `thread`, `date` (ISO, UTC, when it
    was said), `score` (comparable within one search) and `source` (whose word it is).
    """

    limit: int | None = Field(default=None, ge=1)
    """At most this many documents; `RecallConfig.limit` if `None`."""
    kinds: tuple[HitKind, ...] = EVERY_KIND
    _core: Core = PrivateAttr()
    _user_id: str = PrivateAttr()

    def __init__(self, core: Core, *, user_id: str = "", **options: Any) -> None:
        """Bind a retriever to one memory and perhaps to one user; `limit` and `kinds` may be set too."""
        super().__init__(**options)
        self._core = core
        self._user_id = user_id

    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:  # noqa: A002 - langchain's name
        """Find documents; `limit=` overrules the retriever's own.

        Raises:
            MissingUserError: If neither the retriever nor the run names a user.
        """
        with set_config_context(ensure_config(config)) as context:
            return context.run(super().invoke, input, config, **kwargs)

    async def ainvoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:  # noqa: A002 - langchain's name
        """Asynchronous `invoke`."""
        with set_config_context(ensure_config(config)) as context:
            return await asyncio.create_task(super().ainvoke(input, config, **kwargs), context=context)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002 - langchain hands it over
        limit: int | None = None,
    ) -> list[Document]:
        return run(self._found(query, limit))

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,  # noqa: ARG002 - langchain hands it over
        limit: int | None = None,
    ) -> list[Document]:
        return await arun(self._found(query, limit))

    def _found(self, query: str, limit: int | None) -> Flow[list[Document]]:
        scope = self._core.scope(self._user_id)
        if scope is None:
            return []
        config = replace(self._core.recall, limit=limit or self.limit or self._core.recall.limit)
        store, now, count = self._core.store(), self._core.now(), self._core.count
        only = Only(kinds=self.kinds)
        hits = yield from find(scope, store, query, config=config, now=now, count=count, only=only)
        return [_document(hit) for hit in hits]


def _document(hit: Hit) -> Document:
    item = hit.item
    return Document(
        hit.text,
        id=item.id,
        metadata={
            "kind": kind_of(hit).removesuffix("s"),
            "id": item.id,
            "thread": item.thread,
            "date": hit.at.astimezone(UTC).isoformat(),
            "score": hit.score,
            "source": item.trust if isinstance(item, Fact) else item.speaker or item.role,
        },
    )
