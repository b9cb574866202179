"""Reads a batch of operations into what the backend must look up, write and embed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, NamedTuple, TypeAlias

from langgraph.store.base import (
    GetOp,
    ListNamespacesOp,
    Op,
    PutOp,
    SearchOp,
    validate_op_namespace,
)

from langchain_hybrid_memory.keywords import index_terms, query_weights
from langchain_hybrid_memory.store._filters import Condition, compile_filter
from langchain_hybrid_memory.store._items import dump_value, encode, encode_namespace, prefixes, well_formed
from langchain_hybrid_memory.store._namespaces import check_conditions
from langchain_hybrid_memory.store._texts import texts_at

KEYWORD_SHARE: Final = 0.4


class Target(NamedTuple):
    """Where one item lies."""

    namespace: bytes
    key: bytes


class Get(NamedTuple):
    """One item to look up, and whether that makes it live longer."""

    target: Target
    refresh: bool


class Search(NamedTuple):
    """One search, translated.

    Attributes:
        prefix: The encoded namespace prefix.
        condition: The filter, if there is one.
        query: What is asked; empty for a listing.
        weights: The query's terms; empty when keywords do not count.
        keyword_share: Share of the keyword signal in the score.
        limit: How many at most.
        offset: How many to skip.
        refresh: Whether what is found lives longer for it.
    """

    prefix: bytes
    condition: Condition | None
    query: str
    weights: Mapping[str, float]
    keyword_share: float
    limit: int
    offset: int
    refresh: bool


Read: TypeAlias = Get | Search | ListNamespacesOp


class Text(NamedTuple):
    """One text of an item that is embedded."""

    record: str
    field: str
    text: str
    digest: bytes


class Put(NamedTuple):
    """One item to write, or to delete when `value` is `None`; `ttl` is its life in minutes, `None` for ever."""

    target: Target
    value: str | bytes | None
    spec: str | None = None
    ttl: float | None = None
    texts: Sequence[Text] = ()
    scope: str = ""
    words: str = ""


class Plan(NamedTuple):
    """A batch: what to read, by position; what to write, one entry a key; what to embed as a query.

    `sweeps` says that what has expired goes first.
    """

    size: int
    reads: Mapping[int, Read]
    puts: Sequence[Put]
    queries: Sequence[str]
    sweeps: bool


@dataclass(frozen=True, slots=True)
class IndexFields:
    """Which parts of a value are embedded, and which are keyword text.

    Attributes:
        embedded: Paths embedded unless a put names its own.
        keywords: Paths of the keyword text; `None` for the same as are embedded.
        keyword_share: Share of the keyword signal in a score, in [0, 1]; 0 for searches by meaning alone.
    """

    embedded: tuple[str, ...] = ("$",)
    keywords: tuple[str, ...] | None = None
    keyword_share: float = KEYWORD_SHARE

    def plan(self, ops: Iterable[Op], *, sweeps: bool = False) -> Plan:
        """Translate a batch; nothing is looked up or written yet.

        Labels that LangGraph's `get` and `delete` refuse are refused here too: nobody could reach such an item again.

        Raises:
            FilterError: If a filter uses an unknown operator.
            InvalidNamespaceError: If a label is empty, no string, or holds a period or NUL.
            TypeError: If a value is not JSON.
            ValueError: If an operation is not one of LangGraph's four, or a namespace condition is neither prefix nor
                suffix.
        """
        pending = list(ops)
        reads: dict[int, Read] = {}
        puts: dict[Target, Put] = {}
        for position, op in enumerate(pending):
            validate_op_namespace(op)
            if isinstance(op, PutOp):
                target = _target(op)
                puts.pop(target, None)  # the last write of a key is also the time it was written
                puts[target] = self._put(target, op)
            else:
                reads[position] = self._read(op)
        queries = dict.fromkeys(read.query for read in reads.values() if isinstance(read, Search) and read.query)
        return Plan(len(pending), reads, list(puts.values()), list(queries), sweeps)

    def _read(self, op: Op) -> Read:
        if isinstance(op, GetOp):
            return Get(_target(op), op.refresh_ttl)
        if isinstance(op, ListNamespacesOp):
            check_conditions(op)
            return op
        if isinstance(op, SearchOp):
            query = well_formed(op.query or "").strip()
            return Search(
                prefix=encode_namespace(op.namespace_prefix),
                condition=compile_filter(op.filter),
                query=query,
                weights=query_weights(query) if self.keyword_share else {},
                keyword_share=self.keyword_share,
                limit=max(op.limit, 0),
                offset=max(op.offset, 0),
                refresh=op.refresh_ttl,
            )
        msg = f"unknown operation {op!r}; a store knows GetOp, SearchOp, PutOp and ListNamespacesOp"
        raise ValueError(msg)

    def _put(self, target: Target, op: PutOp) -> Put:
        if op.value is None:
            return Put(target, value=None)
        stored = dump_value(dict(op.value))
        put = Put(target, stored, spec=None if op.index is None else json.dumps(op.index), ttl=op.ttl)
        if op.index is False:
            return put
        value: dict[str, Any] = json.loads(stored)  # as it will be read: a tuple is a list then
        paths = self.embedded if op.index is None else tuple(op.index)
        keywords = paths if self.keywords is None else self.keywords
        words = " ".join(index_terms(" \n".join(_keyword_texts(value, keywords))))
        scope = " ".join(scope_term(prefix) for prefix in prefixes(op.namespace)) if words else ""
        return put._replace(texts=_embedded_texts(target, value, paths), scope=scope, words=words)


def _target(op: GetOp | PutOp) -> Target:
    return Target(encode_namespace(op.namespace), encode(str(op.key)))


def scope_term(prefix: bytes) -> str:
    """The keyword term that every item below a namespace prefix carries."""
    return f"n{blake2b(prefix, digest_size=8).hexdigest()}"


def _embedded_texts(target: Target, value: Mapping[str, Any], paths: Iterable[str]) -> list[Text]:
    return [
        Text(_record_id(target, field), field, text, blake2b(text.encode(), digest_size=16).digest())
        for field, text in texts_at(value, paths).items()
    ]


def _record_id(target: Target, field: str) -> str:
    digest = blake2b(digest_size=16)
    for part in (*target, encode(field)):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _keyword_texts(value: Mapping[str, Any], paths: Iterable[str]) -> list[str]:
    texts: list[str] = []
    for path in paths:
        texts += _leaves(value) if path == "$" else texts_at(value, [path]).values()
    return texts


def _leaves(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [text for inner in value.values() for text in _leaves(inner)]
    if isinstance(value, list | tuple):
        return [text for inner in value for text in _leaves(inner)]
    return [] if value is None or isinstance(value, bool) else [str(value)]
