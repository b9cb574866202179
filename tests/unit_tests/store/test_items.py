"""Namespaces, values and times as they are written down."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.store.base import InvalidNamespaceError

from langchain_hybrid_memory.store._items import (
    decode_namespace,
    dump_value,
    encode_namespace,
    instant,
    microseconds,
    namespace_range,
    well_formed,
)

labels = st.text(st.characters() | st.sampled_from("\x00\x01\x02\x03_%*?[.\ud800"), max_size=6)
namespaces = st.lists(labels, max_size=4).map(tuple)


@given(namespaces)
def test_namespace_survives_encoding(namespace: tuple[str, ...]) -> None:
    assert decode_namespace(encode_namespace(namespace)) == namespace


@given(st.lists(namespaces, min_size=2, max_size=6))
def test_encoded_namespaces_sort_like_tuples(some: list[tuple[str, ...]]) -> None:
    encoded = sorted(encode_namespace(namespace) for namespace in some)
    decoded = [decode_namespace(namespace) for namespace in encoded]
    assert all(first <= second for first, second in pairwise(decoded))


@given(namespaces, namespaces)
def test_range_holds_exactly_what_starts_with_the_whole_labels(
    prefix: tuple[str, ...], namespace: tuple[str, ...]
) -> None:
    low, high = namespace_range(encode_namespace(prefix))
    assert (low <= encode_namespace(namespace) < high) == (namespace[: len(prefix)] == prefix)


def test_label_that_is_no_string_is_refused() -> None:
    with pytest.raises(InvalidNamespaceError, match="7"):
        encode_namespace(("a", 7))


@pytest.mark.parametrize(
    "value", [{"a": [1, {"b": None}]}, {"é": "猫"}, {"s": "\ud800"}, {"n": "a\x00b"}, {"i": 1e999}]
)
def test_value_survives_writing(value: dict[str, Any]) -> None:
    assert json.loads(dump_value(value)) == value


@pytest.mark.parametrize(
    "value", [{"s": "\ud800"}, {"n": "a\x00b"}, {"i": float("inf")}, {"n": float("nan")}, {"deep": [[]] * 1_000}]
)
def test_value_that_sqlite_reads_differently_is_bytes(value: dict[str, Any]) -> None:
    assert isinstance(dump_value(value), bytes)


def test_time_survives_writing_to_the_microsecond() -> None:
    moment = datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC)
    assert instant(microseconds(moment)) == moment


def test_lone_surrogates_are_replaced_for_models() -> None:
    assert well_formed("caf\u00e9 \ud800!") == "café ?!"
