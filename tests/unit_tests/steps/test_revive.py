"""What becomes of the facts that stay when others are taken away."""

from __future__ import annotations

from langchain_hybrid_memory.steps.revive import revive
from tests.doubles.builders import iso, known_fact


def test_revived_fact_is_current_again() -> None:
    facts = {"a": known_fact("A.", superseded_by="b", invalid_at=iso(1)), "b": known_fact("B."), "c": known_fact("C.")}
    left = revive(facts, {"b": facts["b"]})
    assert set(left) == {"a", "c"}
    assert (left["a"]["superseded_by"], left["a"]["invalid_at"]) == (None, None)
    assert left["c"] == facts["c"]


def test_fact_in_the_middle_of_a_history_leaves_no_second_current_value() -> None:
    facts = {
        "a": known_fact("A.", superseded_by="b", invalid_at=iso(1)),
        "b": known_fact("B.", superseded_by="c", invalid_at=iso(2)),
        "c": known_fact("C."),
    }
    left = revive(facts, {"b": facts["b"]})
    assert (left["a"]["superseded_by"], left["a"]["invalid_at"]) == ("c", iso(2))


def test_end_that_was_told_stays_when_what_superseded_is_taken_away() -> None:
    told = known_fact("A.", superseded_by="b", invalid_at=iso(1), stated_end=iso(5))
    left = revive({"a": told, "b": known_fact("B.")}, {"b": known_fact("B.")})
    assert (left["a"]["superseded_by"], left["a"]["invalid_at"]) == (None, iso(5))
