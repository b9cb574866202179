"""What a search filter means, in Python for any filter and in SQL for the plain ones."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from langchain_hybrid_memory.errors import FilterError

SAFE_NAME: Final = re.compile(r"[A-Za-z0-9_ -]{1,64}")
EXACT_INTEGER: Final = 2**53

ORDERINGS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
OPERATORS: Final = frozenset({"$eq", "$ne", *ORDERINGS})
IN_SQL: Final[Mapping[str, str]] = {"$eq": "=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


class Condition(NamedTuple):
    """A filter, split into what SQL decides and what Python decides.

    Attributes:
        sql: An expression over `item.value`; true where the value is not text (then Python decides alone).
        parameters: What it binds.
        whole: The filter as it was given.
        is_decided: Whether SQL alone is enough for values stored as text.
    """

    sql: str
    parameters: tuple[Any, ...]
    whole: Mapping[str, Any]
    is_decided: bool

    def holds(self, value: Mapping[str, Any]) -> bool:
        """Whether a stored value satisfies the whole filter."""
        return matches(value, self.whole)


def matches(value: Mapping[str, Any], conditions: Mapping[str, Any]) -> bool:
    """Whether a stored value satisfies a filter.

    A missing key counts as null. Numbers compare as numbers, strings as strings, and nothing else has an order. `true`
    is not 1. A nested mapping without operators is a filter on the nested value: keys it does not name are free;
    `$eq` with a mapping compares the whole. NaN equals nothing.
    """
    return all(_satisfies(value.get(name), wanted) for name, wanted in conditions.items())


def compile_filter(conditions: Mapping[str, Any] | None) -> Condition | None:
    """Check a filter and translate the part of it that SQL answers exactly.

    Raises:
        FilterError: If an operator is unknown, or an operator stands where a field name belongs.
    """
    if not conditions:
        return None
    _check_fields(conditions)
    clauses: list[str] = []
    parameters: list[Any] = []
    is_decided = True
    for name, wanted in conditions.items():
        for symbol, operand in (wanted if _is_operators(wanted) else {"$eq": wanted}).items():
            translated = _translate(name, symbol, operand)
            if translated is None:
                is_decided = False
            else:
                clauses.append(translated[0])
                parameters.extend(translated[1])
    sql = f"CASE WHEN typeof(item.value) = 'text' THEN {' AND '.join(clauses)} ELSE 1 END" if clauses else "1"
    return Condition(sql, tuple(parameters), conditions, is_decided)


def _check_fields(conditions: Mapping[str, Any]) -> None:
    for name, wanted in conditions.items():
        if isinstance(name, str) and name.startswith("$"):
            msg = f"filter operator {name!r} stands where a field name belongs; write {{field: {{{name!r}: value}}}}"
            raise FilterError(msg)
        if _is_operators(wanted):
            _check_operators(wanted)
        elif isinstance(wanted, Mapping):
            _check_fields(wanted)


def _check_operators(wanted: Mapping[str, Any]) -> None:
    for symbol in wanted:
        if symbol not in OPERATORS:
            msg = f"unknown filter operator {symbol!r}; use one of {', '.join(sorted(OPERATORS))}"
            raise FilterError(msg)


def _is_operators(wanted: Any) -> bool:
    return isinstance(wanted, Mapping) and any(isinstance(name, str) and name.startswith("$") for name in wanted)


def _satisfies(value: Any, wanted: Any) -> bool:
    if _is_operators(wanted):
        return all(_apply(symbol, value, operand) for symbol, operand in wanted.items())
    if isinstance(wanted, Mapping):
        return isinstance(value, Mapping) and matches(value, wanted)
    return _equal(value, wanted)


def _apply(symbol: str, value: Any, operand: Any) -> bool:
    if symbol == "$eq":
        return _equal(value, operand)
    if symbol == "$ne":
        return not _equal(value, operand)
    return _comparable(value, operand) and ORDERINGS[symbol](value, operand)


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(value, Mapping) and isinstance(wanted, Mapping):
        return value.keys() == wanted.keys() and all(_equal(value[name], wanted[name]) for name in value)
    if isinstance(value, list | tuple) and isinstance(wanted, list | tuple):
        return len(value) == len(wanted) and all(
            _equal(ours, theirs) for ours, theirs in zip(value, wanted, strict=True)
        )
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)


def _comparable(value: Any, operand: Any) -> bool:
    return (_is_number(value) and _is_number(operand)) or (isinstance(value, str) and isinstance(operand, str))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _translate(name: str, symbol: str, operand: Any) -> tuple[str, tuple[Any, ...]] | None:
    if symbol not in IN_SQL or not isinstance(name, str) or not SAFE_NAME.fullmatch(name):
        return None
    path = f'$."{name}"'
    if symbol == "$eq" and operand is None:
        return "coalesce(json_type(item.value, ?), 'null') = 'null'", (path,)
    if symbol == "$eq" and isinstance(operand, bool):
        return "coalesce(json_type(item.value, ?), '') = ?", (path, "true" if operand else "false")
    kinds = _sql_kinds(operand)
    if kinds is None:
        return None
    # the comparison comes first: the type is looked at only where it holds
    sql = f"(json_extract(item.value, ?) {IN_SQL[symbol]} ? AND json_type(item.value, ?) IN {kinds})"
    return sql, (path, operand, path)


def _sql_kinds(operand: Any) -> str | None:
    if isinstance(operand, str) and "\x00" not in operand and operand.isprintable():
        return "('text')"
    # SQLite does not round every fraction as Python does, so only whole numbers are compared there
    is_exact = _is_number(operand) and abs(operand) < EXACT_INTEGER and operand == int(operand)
    return "('integer', 'real')" if is_exact else None
