"""Brings back what long-term memory holds about the newest message, in one round trip to the store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from operator import itemgetter
from typing import cast

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.store.base import BaseStore, GetOp, Item, Op, Result, SearchItem, SearchOp

from langchain_hybrid_memory._flow import Flow, attempt, batch, secluded, value_of
from langchain_hybrid_memory.budget import TokenCounter, approximate_tokens, fit, is_from_person, last_human
from langchain_hybrid_memory.config import BufferConfig, RecallConfig
from langchain_hybrid_memory.memories import Hit, fact_from
from langchain_hybrid_memory.ranking import in_context, rank
from langchain_hybrid_memory.records import StoredSummary, fingerprint
from langchain_hybrid_memory.redaction import Redactor, keep_everything
from langchain_hybrid_memory.scope import Kind, Scope
from langchain_hybrid_memory.state import MemoryState, MemoryUpdate, Pinned, Recalled, ThreadSummary
from langchain_hybrid_memory.steps.compose import as_data, has_quote, render, render_line, render_pinned, visible
from langchain_hybrid_memory.steps.record import branch_of, cursor_index, log, place_of, rememberable

WORDS_LIMIT = 2_000
"""Of a store without vectors, the newest so many facts, and messages, are looked at by their words."""
STANDING = {"confirms": None}
"""What is recalled of the facts: those that only confirm another stand behind it."""

PIN_LIMIT = 50
"""At most this many pinned facts are looked at."""


def recall(  # noqa: PLR0913 - what a turn brings along, the rest by keyword
    state: MemoryState,
    scope: Scope,
    store: BaseStore,
    *,
    config: RecallConfig,
    buffer: BufferConfig,
    now: datetime,
    count: TokenCounter = approximate_tokens,
    redact: Redactor = keep_everything,
    learns: bool = True,
) -> Flow[MemoryUpdate]:
    """Find what matters for the newest human message, and put that message on record as pending.

    Costs one embedding and one `store.batch`, no model call. A message that the prompt shows anyway is not brought
    back a second time. Where the search fails, the message is still put on record before the error is raised; where
    only writing fails, what was found counts.

    Returns:
        The recalled block, the pinned facts and the thread's summary, each `None` where there is nothing; and the log's
        cursor where the human message directly follows it.
    """
    messages = state["messages"]
    if not messages:
        return {"recalled": None, "summary": None, "pinned": None}
    asked = last_human(messages)
    text = shortened(messages[asked].text, config) if is_from_person(messages[asked]) else ""
    searched = in_context(text, [said.text for said in messages[:asked] if isinstance(said, HumanMessage | AIMessage)])
    lookup = GetOp(scope.namespace("summaries"), scope.thread_id)
    searches = search_ops(scope, searched, config)
    notes = _notes(state, asked, scope, now=now, redact=redact, learns=learns)
    pins = SearchOp(scope.namespace("facts"), filter={"is_pinned": True, "superseded_by": None}, limit=PIN_LIMIT)
    results, is_noted = yield from _as_far_as_possible(store, [lookup, *searches, pins], notes)
    pinned = _pinned(results[1 + len(searches)], scope, config, count)
    summary = _summary_of_branch(results[0], scope, messages)
    seen = {str(message.id) for message in visible(messages, summary, buffer=buffer, count=count)}
    found = yield from without_vectors(results[1 : 1 + len(searches)], scope, store, config)
    known = set(pinned["keys"]) if pinned else set()
    hits = hits_from(found, scope, text, config, searched=searched, now=now, seen=seen)
    shown = yield from reranked([hit for hit in hits if hit.item.id not in known], text, config)
    recalled = _recalled(messages[asked], fit_hits(shown, config, count), config, count)
    update = MemoryUpdate(summary=summary, recalled=recalled, pinned=pinned)
    if is_noted and cursor_index(state) == _unanswered(state, asked) - 1:
        update["recorded_through"] = str(messages[asked].id)
        spoken = [said for said in rememberable(state, now=now) if said.position <= asked]
        update |= branch_of(spoken, place_of(state))
    return update


def shortened(question: str, config: RecallConfig) -> str:
    """A question as it is searched for: of a long one what it begins and ends with."""
    half = config.question_characters // 2
    is_long = len(question) > config.question_characters
    return f"{question[:half]}\n{question[-half:]}" if is_long else question


def search_ops(scope: Scope, query: str, config: RecallConfig) -> list[Op]:
    """The searches of one recall: facts, messages, and the newest messages whether indexed yet or not."""
    if not query.strip():
        return []
    facts, messages = scope.namespace("facts"), scope.namespace("messages")
    return [
        SearchOp(facts, query=query, filter=STANDING, limit=config.candidates),
        SearchOp(messages, query=query, limit=config.candidates),
        SearchOp(messages, limit=config.fresh_limit),
    ]


def without_vectors(
    found: Sequence[Result], scope: Scope, store: BaseStore, config: RecallConfig
) -> Flow[list[Result]]:
    """What `search_ops` brought; from a store that cannot search by meaning, as many more as words may find.

    Such a store answers a search with the newest items, so that older ones would never be found.
    """
    kinds: tuple[Kind, ...] = ("facts", "messages")
    asked = [
        SearchOp(scope.namespace(kind), filter=STANDING if kind == "facts" else None, limit=WORDS_LIMIT)
        for kind, items in zip(kinds, cast("list[list[SearchItem]]", found), strict=False)
        if len(items) >= config.candidates and all(item.score is None for item in items)
    ]
    more = iter((yield from batch(store, asked)))
    wanted = {op.namespace_prefix for op in asked}
    places = [scope.namespace(kind) for kind in kinds]
    return [next(more) if n < len(places) and places[n] in wanted else items for n, items in enumerate(found)]


def hits_from(
    results: Sequence[Result],
    scope: Scope,
    query: str,
    config: RecallConfig,
    *,
    searched: str,
    now: datetime,
    seen: Collection[str] = (),
    explain: bool = False,
) -> list[Hit]:
    """Rank what `search_ops` brought, after checking that every item really is this user's.

    What rests on the messages `seen` of the present thread alone is left out. There are some more hits than
    `config.limit`, because a budget may pass over long ones.
    """
    if not results:
        return []
    facts, messages, newest = (
        [
            item
            for item in cast("list[SearchItem]", items)
            if scope.owns(item.namespace) and not item.value.get("is_abandoned") and not _is_visible(item, scope, seen)
        ]
        for items in results
    )
    return rank(
        query,
        searched=searched,
        found=[*facts, *messages],
        fresh=[item for item in newest if not item.value["is_indexed"]],
        weights=config.weights,
        now=now,
        limit=2 * config.limit,
        min_relevance=config.min_relevance,
        explain=explain,
    )


def reranked(hits: Sequence[Hit], query: str, config: RecallConfig) -> Flow[list[Hit]]:
    """The hits in the order, and of the choice, of the configured reranker; as they are where there is none."""
    reranker = config.reranker
    if reranker is None or not hits:
        return list(hits)
    documents = [Document(hit.text, metadata={"hit": place}) for place, hit in enumerate(hits)]
    kept = yield from secluded(
        lambda: reranker.compress_documents(documents, query), lambda: reranker.acompress_documents(documents, query)
    )
    return [hits[document.metadata["hit"]] for document in kept]


def fit_hits(hits: Sequence[Hit], config: RecallConfig, count: TokenCounter) -> list[Hit]:
    """The best hits, at most `config.limit`, whose rendered block stays within `config.budget_tokens`.

    A long text is given `config.excerpt_tokens` at first. What is left of the budget goes, to the best first, to more
    of such texts and to the words that facts rest on.
    """

    def cost(hit: Hit) -> int:
        return count(render_line(hit, item_tokens=config.item_tokens, count=count)) + 1

    room = config.budget_tokens - count(render([], item_tokens=config.item_tokens, count=count)) - 1
    priced = ((brief, cost(brief)) for brief in (_brief(hit, config, count) for hit in hits))
    chosen = fit(priced, budget=room, cost=itemgetter(1), limit=config.limit)
    room -= sum(price for _, price in chosen)
    shown: list[Hit] = []
    for brief, price in chosen:
        given, is_quoted = brief.tokens or 0, has_quote(brief)
        if not is_quoted and count(brief.text) <= given:
            shown.append(brief)
            continue
        fuller = replace(brief, tokens=min(given + room, config.item_tokens), is_quoted=is_quoted)
        extra = cost(fuller) - price
        is_affordable = extra <= room
        room -= extra if is_affordable else 0
        shown.append(fuller if is_affordable else brief)
    return shown


def _brief(hit: Hit, config: RecallConfig, count: TokenCounter) -> Hit:
    """A hit with the room it takes at first."""
    whole = min(2 * config.excerpt_tokens, config.item_tokens)
    return replace(hit, tokens=whole if count(hit.text) <= whole else min(config.excerpt_tokens, whole))


def _recalled(asked: AnyMessage, hits: Sequence[Hit], config: RecallConfig, count: TokenCounter) -> Recalled | None:
    if not hits:
        return None
    return Recalled(
        message_id=str(asked.id),
        digest=fingerprint(asked.text),
        keys=[hit.item.id for hit in hits],
        text=render(hits, item_tokens=config.item_tokens, count=count),
    )


def _pinned(found: Result, scope: Scope, config: RecallConfig, count: TokenCounter) -> Pinned | None:
    """The pinned facts within their budget, in the order they began: the same text until a pin changes."""
    items = [item for item in cast("list[SearchItem]", found) if scope.owns(item.namespace)]
    facts = sorted((fact_from(item.key, item.value) for item in items), key=lambda fact: (fact.valid_at, fact.id))
    text = render_pinned(facts, tokens=config.pinned_tokens, count=count)
    keys = [fact.id for fact in facts if as_data(fact.text) in text]
    return Pinned(keys=keys, text=text, owner=fingerprint(scope.user_id)) if text else None


def _as_far_as_possible(store: BaseStore, reads: list[Op], notes: list[Op]) -> Flow[tuple[list[Result], bool]]:
    """Run everything in one batch; if that fails, the notes alone, or else the reads of a store that takes no writes.

    Returns:
        What was read, and whether there were notes and they were written.

    Raises:
        Exception: What reading raised, as when the embedding fails; the notes are written then.
    """
    outcome = yield from attempt(batch(store, [*reads, *notes]))
    if outcome.value is not None:
        return outcome.value, bool(notes)
    noted = yield from attempt(batch(store, notes))
    if noted.value is not None:
        return value_of(outcome), True
    return (yield from batch(store, reads)), False


def _unanswered(state: MemoryState, asked: int) -> int:
    """Index of the first of the person's messages that end with the one at `asked` and are not on record yet."""
    first = asked
    if state.get("recorded_through") and cursor_index(state) < 0:  # taken out of the thread: record asks the log
        return first
    while first - 1 > cursor_index(state) and is_from_person(state["messages"][first - 1]):
        first -= 1
    return first


def _notes(state: MemoryState, asked: int, scope: Scope, *, now: datetime, redact: Redactor, learns: bool) -> list[Op]:
    messages = state["messages"]
    if scope.is_read_only or cursor_index(state) >= asked or not is_from_person(messages[asked]):
        return []
    fresh = {str(message.id) for message in messages[_unanswered(state, asked) : asked + 1]}
    spoken = [said for said in rememberable(state, now=now) if said.position <= asked]
    place = place_of(state)
    return log(spoken, fresh, scope, now=now, redact=redact, learns=learns, is_complete=False, place=place)


def _summary_of_branch(item: Result, scope: Scope, messages: Sequence[AnyMessage]) -> ThreadSummary | None:
    if not isinstance(item, Item) or not scope.owns(item.namespace):
        return None
    stored = cast("StoredSummary", item.value)
    if stored["through_id"] not in {message.id for message in messages}:
        return None
    owner = fingerprint(scope.user_id)
    return ThreadSummary(text=stored["text"], through_id=stored["through_id"], owner=owner)


def _is_visible(item: SearchItem, scope: Scope, seen: Collection[str]) -> bool:
    if not seen or item.value["thread"] != scope.thread_id:
        return False
    ids = item.value["message_ids"] if "message_ids" in item.value else (item.value["id"],)
    return bool(ids) and all(message_id in seen for message_id in ids)
