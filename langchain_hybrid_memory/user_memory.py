"""One person's memory outside a graph: recall, record, look at and forget, for nobody else."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from langchain_core.messages import BaseMessage, MessageLikeRepresentation, convert_to_messages
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.store.base import GetOp, Item, SearchItem

from langchain_hybrid_memory._flow import Flow, arun, batch, listing, run
from langchain_hybrid_memory.background import Background
from langchain_hybrid_memory.config import RecallConfig
from langchain_hybrid_memory.core import Core
from langchain_hybrid_memory.memories import (
    Entity,
    Fact,
    Hit,
    Receipt,
    entity_from,
    entity_key,
    fact_from,
)
from langchain_hybrid_memory.ranking import in_context
from langchain_hybrid_memory.scope import Kind, Scope
from langchain_hybrid_memory.steps.forget import forget_everything, forget_fact
from langchain_hybrid_memory.steps.recall import fit_hits, hits_from, reranked, search_ops
from langchain_hybrid_memory.steps.record import Utterance, append, utterances


class UserMemory:
    """What is remembered about one user; every method has an asynchronous twin with an `a` in front of its name."""

    def __init__(
        self, user_id: str, core: Core, background: Background, checkpointer: BaseCheckpointSaver[Any] | None
    ) -> None:
        """Open the memory of one user.

        Raises:
            MissingUserError: If `user_id` is empty.
        """
        self._scope = Scope(user_id=user_id, root=core.root)
        self._core = core
        self._background = background
        self._checkpointer = checkpointer

    def __repr__(self) -> str:
        """Name the user."""
        return f"<UserMemory {self._scope.user_id!r}>"

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
        """
        return run(self._record(convert_to_messages(messages), thread_id, at))

    async def arecord(
        self, messages: Sequence[MessageLikeRepresentation], *, thread_id: str, at: datetime | None = None
    ) -> int:
        """Asynchronous `record`."""
        return await arun(self._record(convert_to_messages(messages), thread_id, at))

    def facts(self, *, current_only: bool = True, as_of: datetime | None = None) -> list[Fact]:
        """What is known, oldest first.

        Args:
            current_only: Whether to leave out superseded facts.
            as_of: Facts that were true at this aware instant, superseded since or not; overrules `current_only`.
        """
        return run(self._facts(current_only=current_only, as_of=as_of))

    async def afacts(self, *, current_only: bool = True, as_of: datetime | None = None) -> list[Fact]:
        """Asynchronous `facts`."""
        return await arun(self._facts(current_only=current_only, as_of=as_of))

    def entities(self) -> list[Entity]:
        """The people, places and things that were named, without their facts, latest mentioned first."""
        return run(self._entities())

    async def aentities(self) -> list[Entity]:
        """Asynchronous `entities`."""
        return await arun(self._entities())

    def entity(self, name: str) -> Entity | None:
        """The profile of an entity: the current facts about it; `None` if nothing of that name or alias is known."""
        return run(self._entity(name))

    async def aentity(self, name: str) -> Entity | None:
        """Asynchronous `entity`."""
        return await arun(self._entity(name))

    def summary(self, thread_id: str) -> str:
        """The running digest of a thread; empty while there is none."""
        return run(self._summary(thread_id))

    async def asummary(self, thread_id: str) -> str:
        """Asynchronous `summary`."""
        return await arun(self._summary(thread_id))

    def forget(self, fact_id: str) -> Receipt:
        """Forget one fact and the words it rests on; what it had superseded is current again.

        Returns:
            What was removed and what may still hold the words; empty if there is no such fact.
        """
        return run(self._forget(fact_id))

    async def aforget(self, fact_id: str) -> Receipt:
        """Asynchronous `forget`."""
        return await arun(self._forget(fact_id))

    def forget_everything(self) -> Receipt:
        """Forget this user: every kind of memory, the queue, and the checkpoints of the user's threads."""
        return run(self._forget_everything())

    async def aforget_everything(self) -> Receipt:
        """Asynchronous `forget_everything`."""
        return await arun(self._forget_everything())

    def append(self, spoken: Sequence[Utterance], *, thread_id: str, now: datetime) -> Flow[int]:
        """Record prepared utterances without starting to memorize; for importers, see `record`."""
        return append(
            spoken,
            self._in_thread(thread_id),
            self._core.store(),
            now=now,
            redact=self._core.redact,
            learns=self._core.learns,
        )

    def _in_thread(self, thread_id: str) -> Scope:
        return Scope(user_id=self._scope.user_id, thread_id=thread_id, root=self._scope.root)

    def _recall(self, query: str, context: Sequence[str], config: RecallConfig, *, explain: bool) -> Flow[list[Hit]]:
        searched = in_context(query, context)
        found = yield from batch(self._core.store(), search_ops(self._scope, searched, config))
        now = self._core.now()
        hits = hits_from(found, self._scope, query, config, searched=searched, now=now, explain=explain)
        return fit_hits((yield from reranked(hits, query, config)), config, self._core.count)

    def _record(self, messages: Sequence[BaseMessage], thread_id: str, at: datetime | None) -> Flow[int]:
        store, now = self._core.store(), self._core.now()
        (thread,) = yield from batch(store, [GetOp(self._scope.namespace("threads"), thread_id)])
        start = thread.value["length"] if isinstance(thread, Item) else 0
        named = [
            message if message.id else message.model_copy(update={"id": str(uuid.uuid4())}) for message in messages
        ]
        count = yield from self.append(utterances(named, now=at or now, start=start), thread_id=thread_id, now=now)
        if count:
            yield from self._background.after_turn(self._scope.user_id, store)
        return count

    def _facts(self, *, current_only: bool, as_of: datetime | None) -> Flow[list[Fact]]:
        items = yield from self._all("facts")
        facts = [fact_from(item.key, item.value) for item in items]
        if as_of is not None:
            facts = [f for f in facts if f.valid_at <= as_of and (f.invalid_at is None or as_of < f.invalid_at)]
        elif current_only:
            facts = [fact for fact in facts if not fact.is_superseded]
        return sorted(facts, key=lambda fact: (fact.valid_at, fact.recorded_at, fact.id))

    def _entities(self) -> Flow[list[Entity]]:
        items = yield from self._all("entities")
        return sorted((entity_from(item.value) for item in items), key=lambda entity: entity.last_seen_at, reverse=True)

    def _entity(self, name: str) -> Flow[Entity | None]:
        wanted = entity_key(name)
        for item in (yield from self._all("entities")):
            known = entity_from(item.value)
            if wanted in {entity_key(other) for other in (known.name, *known.aliases)}:
                facts = yield from self._facts(current_only=True, as_of=None)
                return entity_from(item.value, tuple(f for f in facts if _is_about(f, known)))
        return None

    def _summary(self, thread_id: str) -> Flow[str]:
        (item,) = yield from batch(self._core.store(), [GetOp(self._scope.namespace("summaries"), thread_id)])
        return str(item.value["text"]) if isinstance(item, Item) else ""

    def _forget(self, fact_id: str) -> Flow[Receipt]:
        store = self._core.store()
        forgetting = forget_fact(self._scope, store, fact_id)
        return (yield from self._background.alone(self._scope.user_id, forgetting, store))

    def _forget_everything(self) -> Flow[Receipt]:
        store = self._core.store()
        forgetting = forget_everything(self._scope, store, self._checkpointer)
        return (yield from self._background.alone(self._scope.user_id, forgetting, store))

    def _all(self, kind: Kind) -> Flow[list[SearchItem]]:
        return (yield from listing(self._core.store(), self._scope.namespace(kind)))


def _limited(config: RecallConfig, limit: int | None, budget_tokens: int | None) -> RecallConfig:
    return replace(
        config,
        limit=config.limit if limit is None else limit,
        budget_tokens=config.budget_tokens if budget_tokens is None else budget_tokens,
    )


def _is_about(fact: Fact, entity: Entity) -> bool:
    names = {entity_key(name) for name in (entity.name, *entity.aliases)}
    return fact.subject in names or bool(names & {entity_key(name) for name in fact.entities})
