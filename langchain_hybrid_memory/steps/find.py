"""Searches what is remembered at somebody's wish: by meaning and word, of one kind, from some days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Literal, TypeAlias, cast

from langgraph.store.base import BaseStore, Result, SearchItem

from langchain_hybrid_memory._flow import Flow, batch, listing
from langchain_hybrid_memory.budget import TokenCounter
from langchain_hybrid_memory.config import RecallConfig
from langchain_hybrid_memory.memories import Fact, Hit, fact_from, message_from
from langchain_hybrid_memory.ranking import in_context
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.recall import (
    WORDS_LIMIT,
    fit_hits,
    hits_from,
    reranked,
    search_ops,
    shortened,
    without_vectors,
)

HitKind: TypeAlias = Literal["facts", "messages"]
EVERY_KIND: tuple[HitKind, ...] = ("facts", "messages")


@dataclass(frozen=True, kw_only=True)
class Only:
    """What a search is limited to; by default nothing is left out."""

    kinds: tuple[HitKind, ...] = EVERY_KIND
    since: date | None = None
    """The first day, in UTC, of what was said."""
    until: date | None = None
    """The last day."""

    @property
    def has_days(self) -> bool:
        """Whether only some days count."""
        return self.since is not None or self.until is not None

    def admits(self, hit: Hit) -> bool:
        """Whether a hit is of these kinds and days."""
        kind, day = kind_of(hit), hit.at.astimezone(UTC).date()
        return kind in self.kinds and (self.since or day) <= day <= (self.until or day)


def find(  # noqa: PLR0913 - what is asked and how to judge it, by keyword
    scope: Scope,
    store: BaseStore,
    query: str,
    *,
    config: RecallConfig,
    now: datetime,
    count: TokenCounter,
    context: Sequence[str] = (),
    only: Only = Only(),
    explain: bool = False,
) -> Flow[list[Hit]]:
    """Facts and messages that matter for a question, best first, within the limit and budget of `config`.

    Days without a question find everything of these days, newest first.
    """
    if not query.strip():
        return fit_hits((yield from _of_days(scope, store, only)), config, count) if only.has_days else []
    wide = config
    if only != Only():  # the best of a kind or day may come late among all
        wide = replace(config, candidates=max(config.candidates, WORDS_LIMIT) if only.has_days else config.candidates)
        wide = replace(wide, limit=2 * wide.candidates)
    query = shortened(query, config)
    searched = in_context(query, context)
    found = yield from batch(store, search_ops(scope, searched, wide))
    found = yield from without_vectors(found, scope, store, wide)
    hits = hits_from(_of_kinds(found, only), scope, query, wide, searched=searched, now=now, explain=explain)
    admitted = [hit for hit in hits if only.admits(hit)][: 2 * config.limit]
    return fit_hits((yield from reranked(admitted, query, config)), config, count)


def _of_kinds(found: Sequence[Result], only: Only) -> list[Result]:
    """What `search_ops` brought without the other kind, as that would stand for what says the same.

    Superseded facts stay in any case: they tell which words of a message no longer hold.
    """
    facts, *messages = cast("list[list[SearchItem]]", found)
    if "facts" not in only.kinds:
        facts = [item for item in facts if item.value["superseded_by"] is not None]
    return [facts, *(items if "messages" in only.kinds else [] for items in messages)]


def kind_of(hit: Hit) -> HitKind:
    """Whether a hit is a fact or a message."""
    return "facts" if isinstance(hit.item, Fact) else "messages"


def _of_days(scope: Scope, store: BaseStore, only: Only) -> Flow[list[Hit]]:
    """Everything of some days that stands, newest first; its score says nothing."""
    hits: list[Hit] = []
    for kind in only.kinds:
        items = yield from listing(store, scope.namespace(kind))
        values = [(item.key, item.value) for item in items if scope.owns(item.namespace)]
        if kind == "facts":
            hits += [
                Hit(item=fact_from(key, value), score=0.0)
                for key, value in values
                if value["confirms"] is None and value["superseded_by"] is None
            ]
        else:
            hits += [Hit(item=message_from(value), score=0.0) for _, value in values if not value.get("is_abandoned")]
    return sorted((hit for hit in hits if only.admits(hit)), key=lambda hit: (hit.at, hit.item.id), reverse=True)
