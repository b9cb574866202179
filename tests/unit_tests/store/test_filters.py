"""What filters match, in Python and in SQL alike."""

from __future__ import annotations

import json
import math
import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_hybrid_memory.errors import FilterError
from langchain_hybrid_memory.store._filters import compile_filter, matches
from langchain_hybrid_memory.store._items import dump_value

VALUE: dict[str, Any] = {
    "n": 3,
    "f": 2.5,
    "s": "red",
    "t": True,
    "z": None,
    "list": [1, {"a": 2}],
    "meta": {"lang": "en", "size": {"w": 3}},
    'it\'s "quoted"': "yes",
}


@pytest.mark.parametrize(
    "conditions",
    [
        {"n": 3},
        {"n": 3.0},
        {"n": {"$gte": 3, "$lt": 4}},
        {"f": {"$gt": 2.4999}},
        {"f": {"$lt": math.inf}},
        {"s": "red"},
        {"s": {"$gt": "rec", "$ne": "blue"}},
        {"t": True},
        {"z": None},
        {"missing": None},
        {"missing": {"$ne": 1}},
        {"list": [1, {"a": 2}]},
        {"meta": {"lang": "en"}},
        {"meta": {"size": {"w": {"$gte": 3}}}},
        {"meta": {"$eq": {"size": {"w": 3}, "lang": "en"}}},
        {'it\'s "quoted"': "yes"},
    ],
)
def test_filter_matches(conditions: dict[str, Any]) -> None:
    assert matches(VALUE, conditions)


@pytest.mark.parametrize(
    "conditions",
    [
        {"n": 4},
        {"n": "3"},
        {"n": {"$gt": 10}},
        {"n": {"$gt": "2"}},
        {"n": math.nan},
        {"n": {"$lt": math.nan}},
        {"t": 1},
        {"n": True},
        {"s": "RED"},
        {"s": {"$gt": 1}},
        {"z": {"$lt": 1}},
        {"list": [1]},
        {"list": [1, {"a": 2, "b": 3}]},
        {"meta": {"$eq": {"lang": "en"}}},
        {"meta": {"lang": None}},
        {"n": {"lang": "en"}},
        {"missing": 0},
    ],
)
def test_filter_does_not_match(conditions: dict[str, Any]) -> None:
    assert not matches(VALUE, conditions)


@pytest.mark.parametrize(
    "conditions", [{"$or": []}, {"n": {"$in": [1]}}, {"meta": {"a": {"$regex": "x"}}}, {"n": {"$gt": 1, "plain": 2}}]
)
def test_unknown_operator_is_refused(conditions: dict[str, Any]) -> None:
    with pytest.raises(FilterError, match=r"operator|\$"):
        compile_filter(conditions)


names = st.sampled_from(["a", "b", "a b", "x-y", "it's", '"', "é", "a.b"])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.sampled_from([0.5, 1.0, math.inf, math.nan, 1e308])
    | st.sampled_from(["", "a", "A", "1", "true", "null", '{"a":1}', "a\x00b", "a\nb", "é", "\ud800", "' OR 1=1 --"])
)
values = st.dictionaries(names, scalars | st.lists(scalars, max_size=2), max_size=4)
operations = st.dictionaries(
    st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]), scalars, min_size=1, max_size=2
)


@given(values, st.dictionaries(names, scalars | operations, min_size=1, max_size=2))
def test_sql_and_python_agree(value: dict[str, Any], conditions: dict[str, Any]) -> None:
    condition = compile_filter(conditions)
    assert condition is not None
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE item (value)")
    connection.execute("INSERT INTO item VALUES (?)", (dump_value(value),))
    sql = f"SELECT value FROM item WHERE {condition.sql}"  # noqa: S608 - what is tested
    rows = connection.execute(sql, condition.parameters).fetchall()
    connection.close()
    decided = condition.is_decided and rows and isinstance(rows[0][0], str)
    assert matches(value, conditions) == (bool(rows) and (bool(decided) or condition.holds(json.loads(rows[0][0]))))
