"""Lists the namespaces that hold at least one item."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Final

from langchain_hybrid_memory.store._items import decode_namespace, encode_namespace
from langchain_hybrid_memory.store._shards import namespaces

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from langgraph.store.base import ListNamespacesOp, MatchCondition

ENDS: Final = ("prefix", "suffix")


def check_conditions(op: ListNamespacesOp) -> None:
    """Refuse conditions that are not about one end of a namespace.

    Raises:
        ValueError: If one is neither a prefix nor a suffix.
    """
    for condition in op.match_conditions or ():
        if condition.match_type not in ENDS:
            msg = f"unknown match type {condition.match_type!r}; a namespace is matched by its {' or '.join(ENDS)}"
            raise ValueError(msg)


def list_namespaces(connection: sqlite3.Connection, op: ListNamespacesOp) -> list[tuple[str, ...]]:
    """The namespaces of a catalog that an operation asks for; see `select_namespaces`."""
    below = namespaces(connection, encode_namespace(literal_prefix(op)))
    return select_namespaces(map(decode_namespace, below), op)


def select_namespaces(found: Iterable[tuple[str, ...]], op: ListNamespacesOp) -> list[tuple[str, ...]]:
    """The namespaces that meet every condition, cut to `max_depth`, sorted, distinct; then offset and limit."""
    conditions = op.match_conditions or ()
    matching = {
        namespace[: op.max_depth]
        for namespace in found
        if all(_meets(namespace, condition) for condition in conditions)
    }
    return sorted(matching)[max(op.offset, 0) :][: max(op.limit, 0)]


def literal_prefix(op: ListNamespacesOp) -> list[str]:
    """The longest prefix that every namespace an operation asks for begins with, as far as it has no `*`."""
    prefixes = (condition.path for condition in op.match_conditions or () if condition.match_type == "prefix")
    return max((list(takewhile(lambda label: label != "*", path)) for path in prefixes), key=len, default=[])


def _meets(namespace: tuple[str, ...], condition: MatchCondition) -> bool:
    path = tuple(condition.path)
    if len(namespace) < len(path):
        return False
    part = namespace[: len(path)] if condition.match_type == "prefix" else namespace[len(namespace) - len(path) :]
    return all(wanted in ("*", label) for label, wanted in zip(part, path, strict=True))
