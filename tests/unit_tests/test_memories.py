"""What is remembered keeps its form on the way to the store and back."""

from __future__ import annotations

import datetime as dt
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_hybrid_memory.memories import Fact, Hit, Receipt, entity_from, fact_from, message_from
from langchain_hybrid_memory.records import entity_key, fingerprint, from_iso, to_iso
from tests.doubles.builders import NOW, day, iso, known_fact, said

LISBON = fact_from("e-0", known_fact("The user lives in Lisbon."))
ENDED = fact_from("e-0", known_fact("The user lives in Lisbon.", superseded_by="e-1", invalid_at=iso(3)))


def test_stored_fact_comes_back_with_times_and_source() -> None:
    assert ENDED.id == "e-0"
    assert (ENDED.valid_at, ENDED.invalid_at, ENDED.said_at, ENDED.recorded_at) == (NOW, day(3), NOW, NOW)
    assert (ENDED.thread, ENDED.message_ids, ENDED.quote) == ("t1", ("m0",), "The user lives in Lisbon.")
    assert (ENDED.subject, ENDED.attribute, ENDED.value, ENDED.trust) == ("user", "residence", "Lisbon", "user")
    assert (LISBON.is_superseded, ENDED.is_superseded) == (False, True)


def test_fact_that_was_said_again_remembers_the_last_time() -> None:
    fact = fact_from("e-0", known_fact("The user lives in Lisbon.", confirmed_at=iso(9)))
    assert (fact.said_at, fact.recorded_at) == (day(9), NOW)
    assert Hit(item=fact, score=1).at == day(9)


def test_stored_message_comes_back_without_its_context() -> None:
    message = message_from(said("m1", "Hello", context="before", speaker="Caroline"))
    assert (message.id, message.thread, message.role, message.speaker, message.at) == (
        "m1",
        "t1",
        "user",
        "Caroline",
        NOW,
    )
    assert "before" not in repr(message) + message._repr_html_()


def test_stored_entity_comes_back_with_its_facts() -> None:
    value = {"name": "Sarah", "type": "person", "aliases": ["S."], "first_seen_at": iso(0), "last_seen_at": iso(2)}
    entity = entity_from(value, (LISBON,))
    assert (entity.name, entity.aliases, entity.first_seen_at, entity.last_seen_at) == ("Sarah", ("S.",), NOW, day(2))
    assert repr(entity) == "<Entity 'Sarah' (person, 1 facts)>"


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (LISBON, "<Fact 'The user lives in Lisbon.' since 2024-05-20>"),
        (ENDED, "<Fact 'The user lives in Lisbon.' since 2024-05-20 until 2024-05-23>"),
        (message_from(said("m1", "Hello")), "<Message 2024-05-20 user: 'Hello'>"),
        (Hit(item=LISBON, score=0.5), f"<Hit 0.50 {LISBON!r}>"),
        (Receipt(removed={}), "<Receipt removed nothing>"),
        (
            Receipt(removed={"facts": 1, "quotes": 0}, remaining=("a backup",)),
            "<Receipt removed 1 facts; remaining: a backup>",
        ),
    ],
)
def test_repr_is_one_short_line(thing: object, expected: str) -> None:
    assert repr(thing) == expected


def test_what_is_returned_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        LISBON.text = "The user lives in Porto."  # type: ignore[misc]  # what the test is about


def test_hit_speaks_for_its_item() -> None:
    message = message_from(said("m1", "Hello", at=iso(1)))
    assert (Hit(item=message, score=1).text, Hit(item=message, score=1).at) == ("Hello", day(1))
    assert isinstance(Hit(item=LISBON, score=1).item, Fact)


@pytest.mark.parametrize("spelling", ["sarah miller", "Sarah  Miller", " SARAH\nMILLER "])
def test_spellings_of_a_name_meet(spelling: str) -> None:
    assert entity_key(spelling) == "sarah miller"


@given(st.lists(st.text(max_size=4), max_size=4), st.lists(st.text(max_size=4), max_size=4))
def test_fingerprint_tells_texts_and_their_borders_apart(one: list[str], other: list[str]) -> None:
    assert (fingerprint(*one) == fingerprint(*other)) == (one == other)


def test_fingerprint_takes_any_text() -> None:
    assert len({fingerprint("ab"), fingerprint("a", "b"), fingerprint(""), fingerprint(), fingerprint("\ud83d")}) == 5


@given(st.datetimes(min_value=dt.datetime(1900, 1, 2), max_value=dt.datetime(2200, 1, 1)), st.integers(-14, 14))  # noqa: DTZ001 - bounds are naive
def test_time_survives_being_written_down_and_sorts_as_text(naive: dt.datetime, hours: int) -> None:
    moment = naive.replace(tzinfo=dt.timezone(dt.timedelta(hours=hours)))
    assert from_iso(to_iso(moment)) == moment
    assert (to_iso(moment) < iso(0)) == (moment < NOW)


def test_time_without_a_zone_is_utc() -> None:
    assert from_iso("2024-05-20T12:00:00") == from_iso("2024-05-20T12:00:00Z") == NOW
