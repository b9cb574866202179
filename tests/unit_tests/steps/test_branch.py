"""Where a caller went back to a checkpoint, the last branch goes on; without that, every branch stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_hybrid_memory.records import FIRST
from langchain_hybrid_memory.steps.branch import abandoned
from tests.doubles.builders import iso, said

if TYPE_CHECKING:
    from langchain_hybrid_memory.records import StoredMessage


def tree(*rows: tuple[str, str | None, float]) -> list[StoredMessage]:
    """Messages by id, the one they followed and the day.

    `h...` is a person, anything else an answer; `...!` was said in a run from a checkpoint that was named.
    """
    messages: list[StoredMessage] = []
    depth: dict[str | None, int] = {None: -1, FIRST: -1}
    for name, after, at in rows:
        key = name.rstrip("!")
        depth[key] = depth[after] + 1
        role: Any = "user" if key.startswith("h") else "assistant"
        more: dict[str, Any] = {"role": role, "position": depth[key], "is_fork": name != key}
        messages.append(said(key, key, after=after, at=iso(at), **more))
    return messages


LINE = (("h1", None, 0), ("a1", "h1", 1), ("h2", "a1", 2), ("a2", "h2", 3))


def test_straight_thread_abandons_nothing() -> None:
    assert abandoned(tree(*LINE)) == set()
    assert abandoned([]) == set()


def test_edit_abandons_everything_behind_it() -> None:
    assert abandoned(tree(*LINE, ("h3", "a2", 4), ("h2b!", "a1", 5), ("a2b", "h2b", 6))) == {"h2", "a2", "h3"}


def test_second_edit_abandons_the_first() -> None:
    edits = ("h2b!", "a1", 5), ("a2b", "h2b", 6), ("h2c!", "a1", 7), ("a2c", "h2c", 8)
    assert abandoned(tree(*LINE, *edits)) == {"h2", "a2", "h2b", "a2b"}


def test_going_on_with_an_old_branch_abandons_the_new_one() -> None:
    assert abandoned(tree(*LINE, ("h2b!", "a1", 5), ("a2b", "h2b", 6), ("h3!", "a2", 7))) == {"h2b", "a2b"}


def test_answer_made_again_abandons_the_old_answer_alone() -> None:
    assert abandoned(tree(*LINE, ("a2b!", "h2", 4))) == {"a2"}
    assert abandoned(tree(*LINE, ("a2b!", "h2", 3), ("h3", "a2b", 5))) == {"a2"}, "by a clock that stands still"


def test_branches_nobody_went_back_for_all_stay() -> None:
    """Two processes wrote at once, or one died before its checkpoint was written."""
    later = ("h2b", "a1", 5), ("a2b", "h2b", 6)
    assert abandoned(tree(*LINE, *later)) == set()
    assert abandoned(tree(*LINE, *later, ("h3", "a2b", 9), ("a3", "h3", 10))) == set()
    assert abandoned(tree(*LINE, ("a2b", "h2", 4))) == set()


def test_turn_under_way_when_somebody_went_back_stays() -> None:
    assert abandoned(tree(*LINE, ("h2b!", "a1", 2.5), ("a2b", "h2b", 4))) == set()
    assert abandoned(tree(*LINE[:3], ("h2b!", "a1", 5), ("a2b", "h2b", 6))) == set(), "it was never answered"


def test_first_message_may_be_said_otherwise_too() -> None:
    told = [("h1", FIRST, 0), *LINE[1:]]
    assert abandoned(tree(*told, ("h9!", FIRST, 9), ("a9", "h9", 10))) == {"h1", "a1", "h2", "a2"}
    assert abandoned(tree(*told, ("h9", FIRST, 9), ("a9", "h9", 10))) == set(), "nobody went back"


def test_messages_whose_place_is_not_known_are_no_rivals() -> None:
    """A thread without a checkpoint starts anew each time."""
    assert abandoned(tree(*LINE, ("h9", None, 9), ("a9", "h9", 10))) == set()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, 50)), max_size=30), st.randoms())
def test_order_of_the_log_does_not_matter_and_the_newest_message_stays(
    grown: list[tuple[int, float]], random: Any
) -> None:
    rows: list[tuple[str, str | None, float]] = [("h0", None, 0)]
    for number, (parent, at) in enumerate(grown, 1):
        name = f"{'h' if number % 2 else 'a'}{number}" + "!" * (number % 3)
        rows.append((name, rows[parent % len(rows)][0].rstrip("!"), 100 * number + at))
    messages = tree(*rows)
    gone = abandoned(messages)
    random.shuffle(messages)
    assert abandoned(messages) == gone
    after = {m["id"]: m["after"] for m in messages}
    newest: str | None = rows[-1][0].rstrip("!")
    while newest is not None:
        assert newest not in gone
        newest = after[newest]
    assert all(m["id"] in gone for m in messages if m["after"] in gone)


@pytest.mark.parametrize("size", [5_000])
def test_long_thread_is_no_deep_recursion(size: int) -> None:
    rows = [(f"h{n}", f"h{n - 1}" if n else None, float(n)) for n in range(size)]
    assert abandoned(tree(*rows)) == set()
