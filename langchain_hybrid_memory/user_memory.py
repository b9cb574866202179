"""One person's memory outside a graph: recall, record, look at and forget, for nobody else."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from langchain_core.messages import BaseMessage, MessageLikeRepresentation, convert_to_messages
from langchain_core.tools import BaseTool
from langgraph.store.base import GetOp, Item

from langchain_hybrid_memory._flow import Flow, arun, batch, run
from langchain_hybrid_memory.config import RecallConfig
from langchain_hybrid_memory.errors import ConfigurationError
from langchain_hybrid_memory.memories import Entity, Fact, Hit, Moment, Provenance
from langchain_hybrid_memory.rebuild import Progress, Rebuilt, rebuild
from langchain_hybrid_memory.retriever import MemoryRetriever
from langchain_hybrid_memory.steps.correct import edit, pin
from langchain_hybrid_memory.steps.find import EVERY_KIND, HitKind, find
from langchain_hybrid_memory.steps.look import entities, entity, facts_at, timeline, why
from langchain_hybrid_memory.steps.record import Utterance, append, utterances
from langchain_hybrid_memory.tools import create_tools
from langchain_hybrid_memory.user_data import UserData

PAIR = 2
"""A `(role, text)` pair has so many parts."""


class UserMemory(UserData):
    """What is remembered about one user; what asks the store has an asynchronous twin with an `a` before its name."""

    def recall(
        self,
        query: str,
        *,
        context: Sequence[str] = (),
        limit: int | None = None,
        budget_tokens: int | None = None,
        explain: bool = False,
    ) -> list[Hit]:
        """Facts and messages that matter for a question, best first.

        Args:
            query: What is asked; an empty one finds nothing.
            context: What was said before it, oldest first; consulted where the question leans on it ("and her job?").
            limit: At most this many; `RecallConfig.limit` if `None`.
            budget_tokens: What is found fits a block of so many tokens; `RecallConfig.budget_tokens` if `None`.
            explain: Whether each hit says what every signal added to its score, in `shares`.

        Raises:
            ConfigurationError: If a limit is not positive.
        """
        return run(self._recall(query, context, _limited(self._core.recall, limit, budget_tokens), explain=explain))

    async def arecall(
        self,
        query: str,
        *,
        context: Sequence[str] = (),
        limit: int | None = None,
        budget_tokens: int | None = None,
        explain: bool = False,
    ) -> list[Hit]:
        """Asynchronous `recall`."""
        config = _limited(self._core.recall, limit, budget_tokens)
        return await arun(self._recall(query, context, config, explain=explain))

    def record(
        self, messages: Sequence[MessageLikeRepresentation], *, thread_id: str, at: datetime | None = None
    ) -> int:
        """Put finished turns on record and have them memorized, as a graph would; how many messages were new.

        A message with an id that is on record already, with the same text, is not recorded twice; one without an id
        gets a new one.

        Args:
            messages: LangChain messages, `(role, text)` pairs or OpenAI dicts, oldest first.
            thread_id: The conversation they belong to; they are appended to it.
            at: When they were said, an aware datetime; now if `None`.

        Raises:
            ConfigurationError: If `at` has no time zone, `thread_id` is not a string, or `messages` is one message and
                no list.
        """
        return run(self._record(messages, thread_id, at))

    async def arecord(
        self, messages: Sequence[MessageLikeRepresentation], *, thread_id: str, at: datetime | None = None
    ) -> int:
        """Asynchronous `record`."""
        return await arun(self._record(messages, thread_id, at))

    def facts(self, *, current_only: bool = True, as_of: datetime | None = None) -> list[Fact]:
        """What is known, by when it began.

        Args:
            current_only: Whether to leave out what was superseded, and what was over by its own words.
            as_of: Facts that were true at this aware instant, superseded since or not; overrules `current_only`.

        Raises:
            ConfigurationError: If `as_of` has no time zone.
        """
        return run(self._facts(current_only=current_only, as_of=as_of))

    async def afacts(self, *, current_only: bool = True, as_of: datetime | None = None) -> list[Fact]:
        """Asynchronous `facts`."""
        return await arun(self._facts(current_only=current_only, as_of=as_of))

    def why(self, fact_id: str) -> Provenance:
        """Where a fact comes from: quote, messages, thread, time, confirmations, and its place in the history.

        Raises:
            UnknownFactError: If there is no such fact.
        """
        return run(why(self._scope, self._core.store(), fact_id))

    async def awhy(self, fact_id: str) -> Provenance:
        """Asynchronous `why`."""
        return await arun(why(self._scope, self._core.store(), fact_id))

    def timeline(self, entity: str | None = None) -> list[Moment]:
        """What was and is true, by when it began, each with a label and its end.

        Args:
            entity: Only what is about whoever goes by this name or alias; nothing if nobody does.

        Raises:
            AmbiguousNameError: If several go by that name and none has it for its own.
        """
        return run(self._timeline(entity))

    async def atimeline(self, entity: str | None = None) -> list[Moment]:
        """Asynchronous `timeline`."""
        return await arun(self._timeline(entity))

    def pin(self, fact_id: str) -> Fact:
        """Have a current fact stand in every prompt, within `RecallConfig.pinned_tokens`.

        Extraction does not take a pinned fact away; a newer one may still end it.

        Raises:
            UnknownFactError: If there is no such fact, or it is no longer true.
        """
        return run(self._pin(fact_id, is_pinned=True))

    async def apin(self, fact_id: str) -> Fact:
        """Asynchronous `pin`."""
        return await arun(self._pin(fact_id, is_pinned=True))

    def unpin(self, fact_id: str) -> Fact:
        """Take a fact out of every prompt again; it stays known.

        Raises:
            UnknownFactError: If there is no such fact.
        """
        return run(self._pin(fact_id, is_pinned=False))

    async def aunpin(self, fact_id: str) -> Fact:
        """Asynchronous `unpin`."""
        return await arun(self._pin(fact_id, is_pinned=False))

    def edit(self, fact_id: str, text: str) -> Fact:
        """Correct a fact in the user's own words: one sentence that makes sense alone.

        The correction is a new fact, true from when the wrong one began, and `why` shows both. What an assistant or a
        tool says never ends it; what the user says later may.

        Raises:
            UnknownFactError: If there is no such fact, or it is no longer true.
            ConfigurationError: If `text` is empty.
        """
        return run(self._edit(fact_id, text))

    async def aedit(self, fact_id: str, text: str) -> Fact:
        """Asynchronous `edit`."""
        return await arun(self._edit(fact_id, text))

    def entities(self) -> list[Entity]:
        """The people, places and things that were named, without their facts, latest mentioned first."""
        return run(entities(self._scope, self._core.store()))

    async def aentities(self) -> list[Entity]:
        """Asynchronous `entities`."""
        return await arun(entities(self._scope, self._core.store()))

    def entity(self, name: str, *, history: bool = False) -> Entity | None:
        """The profile of an entity: the current facts about it; `None` if nothing of that name or alias is known.

        Args:
            name: A name or an alias, in any case.
            history: Whether to add, as `Entity.history`, the facts that no longer hold, oldest first.

        Raises:
            AmbiguousNameError: If several go by that name and none has it for its own.
        """
        return run(self._entity(name, history=history))

    async def aentity(self, name: str, *, history: bool = False) -> Entity | None:
        """Asynchronous `entity`."""
        return await arun(self._entity(name, history=history))

    def summary(self, thread_id: str) -> str:
        """The running digest of a thread; empty while there is none."""
        return run(self._summary(thread_id))

    async def asummary(self, thread_id: str) -> str:
        """Asynchronous `summary`."""
        return await arun(self._summary(thread_id))

    def rebuild(self, on_progress: Progress | None = None) -> Rebuilt:
        """Derive facts, entities and summaries again from the messages on record, with the present model and settings.

        What was recorded without learning is learned too. What was forgotten stays forgotten, pins and corrections
        stay. It is built aside and swapped in at the end: until then, and if it is interrupted, what was known stays.
        Called again it goes on where it was. Meanwhile turns are recorded and wait to be learned from.

        Args:
            on_progress: Called before each model call with how many turns are done and how many there are.

        Raises:
            ConfigurationError: If the memory has no model.
            ExtractionError: If the model failed for some turns, twice; what was known stays.
        """
        return run(self._rebuild(on_progress))

    async def arebuild(self, on_progress: Progress | None = None) -> Rebuilt:
        """Asynchronous `rebuild`."""
        return await arun(self._rebuild(on_progress))

    def tools(self) -> list[BaseTool]:
        """The tools of `HybridMemory.tools`, for this user whoever the run names."""
        return create_tools(self._core, self._background, self._checkpointer, user_id=self._scope.user_id)

    def as_retriever(self, *, limit: int | None = None, kinds: tuple[HitKind, ...] = EVERY_KIND) -> MemoryRetriever:
        """The retriever of `HybridMemory.as_retriever`, for this user whoever the run names."""
        return MemoryRetriever(self._core, user_id=self._scope.user_id, limit=limit, kinds=kinds)

    def append(self, spoken: Sequence[Utterance], *, thread_id: str, now: datetime) -> Flow[int]:
        """Record prepared utterances without starting to memorize; for importers, see `record`."""
        remembered = self._core.remembering()
        count = yield from append(
            spoken,
            self._in_thread(thread_id),
            self._core.store(),
            now=now,
            redact=remembered,
            learns=self._core.learns,
        )
        if count:
            self._core.count_redacted(remembered, (said.text for said in spoken))
        return count

    def _recall(self, query: str, context: Sequence[str], config: RecallConfig, *, explain: bool) -> Flow[list[Hit]]:
        return find(
            self._scope,
            self._core.store(),
            query,
            config=config,
            now=self._core.now(),
            count=self._core.count,
            context=context,
            explain=explain,
        )

    def _record(self, messages: Sequence[MessageLikeRepresentation], thread_id: str, at: datetime | None) -> Flow[int]:
        _check_zone("at", at)
        _check_several(messages)
        said, scope = convert_to_messages(messages), self._in_thread(thread_id)
        store, now = self._core.store(), self._core.now()
        (thread,) = yield from batch(store, [GetOp(scope.namespace("threads"), thread_id)])
        start = thread.value["length"] if isinstance(thread, Item) else 0
        named = [m if m.id else m.model_copy(update={"id": str(uuid.uuid4())}) for m in said]
        count = yield from self.append(utterances(named, now=at or now, start=start), thread_id=thread_id, now=now)
        if count:
            yield from self._background.after_turn(self._scope.user_id, store)
        return count

    def _facts(self, *, current_only: bool, as_of: datetime | None) -> Flow[list[Fact]]:
        _check_zone("as_of", as_of)
        return facts_at(self._scope, self._core.store(), now=self._core.now(), current_only=current_only, as_of=as_of)

    def _timeline(self, name: str | None) -> Flow[list[Moment]]:
        return timeline(self._scope, self._core.store(), name, now=self._core.now())

    def _entity(self, name: str, *, history: bool) -> Flow[Entity | None]:
        return entity(self._scope, self._core.store(), name, now=self._core.now(), history=history)

    def _pin(self, fact_id: str, *, is_pinned: bool) -> Flow[Fact]:
        store = self._core.store()
        pinning = pin(self._scope, store, fact_id, is_pinned=is_pinned)
        return self._background.alone(self._scope, pinning, store)

    def _edit(self, fact_id: str, text: str) -> Flow[Fact]:
        store = self._core.store()
        editing = edit(self._scope, store, fact_id, self._core.remembering()(text), now=self._core.now())
        return self._background.alone(self._scope, editing, store)

    def _summary(self, thread_id: str) -> Flow[str]:
        (item,) = yield from batch(self._core.store(), [GetOp(self._scope.namespace("summaries"), thread_id)])
        return str(item.value["text"]) if isinstance(item, Item) else ""

    def _rebuild(self, on_progress: Progress | None) -> Flow[Rebuilt]:
        store = self._core.store()
        rebuilding = rebuild(self._scope, self._core, store, owner=self._background.owner, on_progress=on_progress)
        return (yield from self._background.alone(self._scope, rebuilding, store))


def _limited(config: RecallConfig, limit: int | None, budget_tokens: int | None) -> RecallConfig:
    return replace(
        config,
        limit=config.limit if limit is None else limit,
        budget_tokens=config.budget_tokens if budget_tokens is None else budget_tokens,
    )


def _check_several(messages: Sequence[MessageLikeRepresentation]) -> None:
    """Refuse one message in the place of a list: its letters, or its role and text, would be recorded one by one."""
    is_pair = isinstance(messages, tuple) and len(messages) == PAIR and all(isinstance(m, str) for m in messages)
    if is_pair or isinstance(messages, str | Mapping | BaseMessage):
        msg = f"messages is of type {type(messages).__name__}: a single message; pass a list, [message]"
        raise ConfigurationError(msg)


def _check_zone(name: str, moment: datetime | None) -> None:
    if moment is not None and moment.tzinfo is None:
        msg = f"{name}={moment!r} has no time zone; pass an aware datetime, such as datetime.now(UTC)"
        raise ConfigurationError(msg)
