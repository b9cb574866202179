"""Lets one process at a time learn for a user, as well as a store without locks can: overlap costs tokens only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from langgraph.store.base import BaseStore, GetOp, Item, PutOp
from langgraph.store.memory import InMemoryStore

from langchain_hybrid_memory._flow import Flow, attempt, batch, value_of
from langchain_hybrid_memory.records import from_iso, to_iso
from langchain_hybrid_memory.scope import Scope, encode

T = TypeVar("T")

LEASE_SECONDS = 60.0
"""A lease is renewed before each model call, so this has to outlast one; a process that died holds it so long."""


def leased(flow: Flow[T], scope: Scope, store: BaseStore, *, owner: str, now: Callable[[], datetime]) -> Flow[T]:
    """Run a flow with the lease on a user, taken from whoever holds it: they stop before their next model call."""
    yield from take_lease(scope, store, owner=owner, now=now(), is_forced=True)
    outcome = yield from attempt(flow)
    yield from attempt(release_lease(scope, store, owner=owner, now=now()))
    return value_of(outcome)


def is_shared(store: BaseStore) -> bool:
    """Whether another process may work on this store too: it says so itself, and one in memory cannot."""
    return bool(getattr(store, "is_shared", not isinstance(store, InMemoryStore)))


def take_lease(scope: Scope, store: BaseStore, *, owner: str, now: datetime, is_forced: bool) -> Flow[bool]:
    """Take or renew the lease on a user; whether it is the owner's now.

    Best effort: of two that take a free lease at the same moment, the later write wins and the earlier finds out when
    it looks again. Should both go on, they write the same items under the same keys.

    Args:
        scope: Whose queue.
        store: Where the lease is kept.
        owner: Who asks, unlike any other.
        now: The present instant.
        is_forced: Whether to take it from whoever holds it.
    """
    if not is_shared(store):
        return True
    place = (_namespace(scope), encode(scope.user_id))
    (item,) = yield from batch(store, [GetOp(*place)])
    if not is_forced and _is_held(item, owner, now):
        return False
    lease = {"owner": owner, "until": to_iso(now + timedelta(seconds=LEASE_SECONDS))}
    yield from batch(store, [PutOp(*place, lease, index=False)])
    (item,) = yield from batch(store, [GetOp(*place)])
    return not _is_held(item, owner, now)


def release_lease(scope: Scope, store: BaseStore, *, owner: str, now: datetime) -> Flow[None]:
    """Give a lease back; one that somebody else took over is left alone."""
    if not is_shared(store):
        return
    place = (_namespace(scope), encode(scope.user_id))
    (item,) = yield from batch(store, [GetOp(*place)])
    if isinstance(item, Item) and not _is_held(item, owner, now):
        yield from batch(store, [PutOp(*place, None)])


def _namespace(scope: Scope) -> tuple[str, ...]:
    return (scope.root, "lease")


def _is_held(item: Any, owner: str, now: datetime) -> bool:
    """Whether somebody else holds it."""
    return isinstance(item, Item) and item.value["owner"] != owner and from_iso(item.value["until"]) > now
