"""Counts the tokens a user costs in a day, in the store, where every process sees them."""

from __future__ import annotations

from datetime import UTC, datetime

from langgraph.store.base import BaseStore, GetOp, Item, PutOp

from langchain_hybrid_memory._flow import Flow, batch
from langchain_hybrid_memory.scope import Scope


def is_spent(scope: Scope, store: BaseStore, *, cap: int | None, now: datetime) -> Flow[bool]:
    """Whether a user has cost `cap` tokens on the day of `now` in UTC; without a cap nobody ever has."""
    return cap is not None and (yield from _tokens(scope, store, now)) >= cap


def spend(scope: Scope, store: BaseStore, *, tokens: int, now: datetime) -> Flow[None]:
    """Add to what a user costs on the day of `now`."""
    total = (yield from _tokens(scope, store, now)) + tokens
    yield from batch(store, [PutOp(scope.namespace("usage"), _day(now), {"tokens": total}, index=False)])


def _tokens(scope: Scope, store: BaseStore, now: datetime) -> Flow[int]:
    (item,) = yield from batch(store, [GetOp(scope.namespace("usage"), _day(now))])
    return int(item.value["tokens"]) if isinstance(item, Item) and scope.owns(item.namespace) else 0


def _day(now: datetime) -> str:
    return now.astimezone(UTC).date().isoformat()
