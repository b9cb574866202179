"""Strategies for store operations: few names, so that they meet, and hostile strings among them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from hypothesis import strategies as st
from langgraph.store.base import GetOp, InvalidNamespaceError, ListNamespacesOp, MatchCondition, PutOp, SearchOp

from langchain_hybrid_memory.errors import FilterError

T = TypeVar("T")
DECOMPOSED = "e\u0301"
NOT_TEXT = "\ud800"
REFUSED = [
    (SearchOp((), {"n": {"$in": [1]}}), FilterError),
    (SearchOp((), {"$or": []}), FilterError),
    (SearchOp((), {"meta": {"a": {"$eq": 1, "b": 2}}}), FilterError),
    (PutOp(("a", "b"), "k", {"text": object()}), TypeError),
    (PutOp(("a.b",), "k", {}), InvalidNamespaceError),
    (GetOp(("a", ""), "k"), InvalidNamespaceError),
    ("put", ValueError),
]
"""Operations no store accepts, and what it raises."""


def named(strategy: st.SearchStrategy[T]) -> st.SearchStrategy[T]:
    """The same strategy; hypothesis writes out plain ones in full, at length."""

    @st.composite
    def drawn(draw: st.DrawFn) -> T:
        return draw(strategy)

    return drawn()


confusable = ["A", "aa", "a_", "a%", "a*", "*", "a?", "[a]", "a\x01", "a\x02b", "a\n", "a ", "'a"]
hostile = [*'é猫😀"\\/\x01\x02\x7f\uffff', "' OR 1=1", DECOMPOSED, NOT_TEXT, "\udc00", "x" * 2_000, "langgraph"]
labels = st.sampled_from("aaabb") | st.sampled_from(confusable) | st.sampled_from(hostile)
namespaces = st.just(("a", "b")) | st.lists(labels, min_size=1, max_size=3).map(tuple)
prefixes = st.just(()) | st.just(("a",)) | st.lists(labels, max_size=3).map(tuple)
odd_keys = ["", *'K猫"\n\x00', "k ", "a.b", "k\x00", "'; --", "_%*?[", NOT_TEXT, "x" * 2_000]
keys = st.sampled_from("kkz") | st.sampled_from(odd_keys)

words = "harbor walk walks hiked Zoë zoe 我的猫很可爱 猫 京都へ ซื้อของ 2024 1.5 true the".split()  # noqa: SIM905 - easier to read
syntax = ['"', "'s", "AND OR NOT", "a^b -c +d", "words : x*", "NEAR(", "nul\x00", "_%*?[", "\n", NOT_TEXT, "y" * 1_000]
texts = st.lists(st.sampled_from(words) | st.sampled_from(syntax), max_size=4).map(" ".join)
queries = st.none() | texts | st.sampled_from(["harbor", "walking", "zoe", "猫", "", " "])

integers = st.sampled_from([0, 1, 2, -1, 2**53, 2**53 + 1, 2**64, 10**30])
floats = st.sampled_from([1.0, 1.5, -0.0, 0.1, 2.0**53, 1e308, float("inf"), float("-inf"), float("nan")])
strings = st.sampled_from(["", "1", "true", "a", "b", "A", "é", "a\x00b", "' OR 1=1", NOT_TEXT])
scalars = st.none() | st.booleans() | integers | floats | strings
names = st.sampled_from(["text", "n", "t", "a b", "a.b", "it's", '"', "é", "\x00", "[0]"])
nested = st.recursive(
    scalars | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.just("$"), inner, max_size=3),
    max_leaves=5,
)
tags = st.lists(texts | scalars | st.fixed_dictionaries({"t": texts}), max_size=3) | st.tuples(texts, integers)
values = named(
    st.fixed_dictionaries(
        {},
        optional={
            "text": texts,
            "title": texts | scalars,
            "n": scalars,
            "tags": tags,
            "meta": nested,
            "a b": scalars,
            "it's": nested,
        },
    )
)
indexes = st.none() | st.sampled_from(
    [False, [], ["text"], ["title", "text"], ["tags[*].t"], ["tags[*]"], ["$"], ["meta"], ["tags[-1]", "no"]]
)
lives_minutes = st.none() | st.sampled_from([0, 0.5, 1, 3, 10])
puts = named(
    st.builds(PutOp, namespaces, keys, values, indexes, lives_minutes) | st.builds(PutOp, namespaces, keys, st.none())
)

symbols = st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"])
operands = scalars | st.lists(scalars, max_size=2) | st.dictionaries(names, scalars, max_size=2)
conditions = st.recursive(
    operands | st.dictionaries(symbols, operands, min_size=1, max_size=2),
    lambda inner: st.dictionaries(names, inner, min_size=1, max_size=2),
    max_leaves=3,
)
fields = st.sampled_from(["n", "n", "text", "meta", "tags", "a b", "it's"])
filters = st.none() | st.dictionaries(fields, conditions, max_size=2)


@st.composite
def filters_about(draw: st.DrawFn, value: Mapping[str, Any]) -> dict[str, Any]:
    """A filter on a field of a value, with what the field holds or something easily taken for it."""
    name = draw(st.sampled_from([*value, "no"]))
    operand = draw(st.sampled_from(lookalikes(value.get(name))))
    if draw(st.booleans()) and not isinstance(operand, dict):
        return {name: operand}
    return {name: {draw(symbols): operand}}


def lookalikes(value: Any) -> list[Any]:
    """A value and others that a careless comparison takes for it, or that lie next to it."""
    if isinstance(value, dict):
        return [value, dict(list(value.items())[1:]), {**value, "more": None}]
    if isinstance(value, list):
        return [value, value[1:], [*value, None], [lookalikes(inner)[-1] for inner in value]]
    if isinstance(value, str):
        return [value, f"{value}\x00", value[:-1], value.swapcase(), f"{value}%"]
    if value is None or not math.isfinite(value):
        return [value, 0, False, "", "null", "NaN"]
    return [value, value + 1, -value, float(value), bool(value), int(value), str(value)]


limits, offsets = st.sampled_from([0, 1, 2, 10, 1_000]), st.sampled_from([0, 0, 0, 1, 3])
searches = named(st.builds(SearchOp, prefixes, filters, limits, offsets, queries, st.booleans()))

paths = st.lists(labels | st.just("*"), min_size=1, max_size=3).map(tuple)
ends = st.lists(st.builds(MatchCondition, st.sampled_from(["prefix", "suffix"]), paths), max_size=2).map(tuple)
depths = st.none() | st.integers(1, 3)
listings = st.builds(ListNamespacesOp, st.none() | ends, depths, limits, offsets)
reads = named(st.builds(GetOp, namespaces, keys, st.booleans()) | searches | listings)
refused = st.sampled_from(REFUSED)
