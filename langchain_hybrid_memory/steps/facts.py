"""Reads a user's facts as they are stored: all of them, some by their keys, or those that match a filter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from langgraph.store.base import BaseStore, GetOp, Item, SearchItem, SearchOp

from langchain_hybrid_memory._flow import Flow, batch, listing
from langchain_hybrid_memory.records import Facts, StoredFact
from langchain_hybrid_memory.scope import Scope

MOST = 1_000
"""Facts that one filter brings, such as those of one episode, or of one subject and attribute."""


def all_facts(scope: Scope, store: BaseStore) -> Flow[Facts]:
    """Every fact of the user, superseded ones and those that only confirm another included."""
    items = yield from listing(store, scope.namespace("facts"))
    return {item.key: cast("StoredFact", item.value) for item in items}


def get_facts(scope: Scope, store: BaseStore, keys: Iterable[str]) -> Flow[Facts]:
    """The user's facts under some keys; those that are not there are left out."""
    found = yield from batch(store, [GetOp(scope.namespace("facts"), key) for key in keys])
    return {
        item.key: cast("StoredFact", item.value)
        for item in found
        if isinstance(item, Item) and scope.owns(item.namespace)
    }


def search_facts(scope: Scope, store: BaseStore, filters: Iterable[Mapping[str, Any]]) -> Flow[Facts]:
    """The user's facts that match one of several filters, up to `MOST` each."""
    found = yield from search_each(scope, store, filters)
    return {key: fact for facts in found for key, fact in facts.items()}


def search_each(scope: Scope, store: BaseStore, filters: Iterable[Mapping[str, Any]]) -> Flow[list[Facts]]:
    """For each filter, in their order, the user's facts that match it, up to `MOST`."""
    namespace = scope.namespace("facts")
    found = yield from batch(store, [SearchOp(namespace, filter=dict(f), limit=MOST) for f in filters])
    return [
        {
            item.key: cast("StoredFact", item.value)
            for item in cast("list[SearchItem]", items)
            if scope.owns(item.namespace)
        }
        for items in found
    ]
