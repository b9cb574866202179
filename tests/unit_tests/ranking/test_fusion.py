"""What matters most comes first, says why, and is said once."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_hybrid_memory.config import RankingWeights
from langchain_hybrid_memory.ranking.signals import SIGNALS
from langchain_hybrid_memory.store._items import Signals
from tests.doubles.builders import iso, known_fact, said
from tests.unit_tests.ranking.builders import found, ids, message, only, ranked


def test_nothing_found_ranks_nothing() -> None:
    assert ranked() == []


def test_every_weight_has_its_signal() -> None:
    assert {weight.name for weight in fields(RankingWeights)} == set(SIGNALS)


def test_nearer_comes_first() -> None:
    assert ids(ranked("?", message("far", score=0.1), message("near", score=0.9))) == ["near", "far"]


def test_shared_words_lift_what_is_as_near() -> None:
    assert ids(ranked("live Lisbon", message("a", "Tuesday again"), message("b", "I live in Lisbon"))) == ["b", "a"]


def test_cosine_of_the_store_goes_before_its_score() -> None:
    one = found(said("one", "here"), "one", score=0.1, signals=Signals(cosine=0.9, keyword=0.0))
    other = found(said("other", "there"), "other", score=0.9, signals=Signals(cosine=0.1, keyword=1.0))
    hits = ranked("?", other, one)
    assert ids(hits) == ["one", "other"]
    assert hits[0].signals["cosine"] == 0.9


@pytest.mark.parametrize(
    ("best", "others", "count", "is_relevant"),
    [
        pytest.param(0.6, 0.1, 30, True, id="near"),
        pytest.param(0.4, 0.1, 30, False, id="far"),
        pytest.param(0.9, 0.7, 30, True, id="near for a model whose cosines are all high"),
        pytest.param(0.8, 0.7, 30, False, id="far for such a model"),
        pytest.param(0.8, 0.7, 10, True, id="too few to tell such a model"),
    ],
)
def test_nothing_is_returned_where_nothing_is_near(
    *, best: float, others: float, count: int, is_relevant: bool
) -> None:
    items = [message("best", score=best), *(message(f"m{n}", score=others) for n in range(1, count))]
    hits = ranked("Which harpsichord maker tuned the clavichord?", *items, min_relevance=0.25)
    assert bool(hits) is is_relevant
    assert ids(hits)[:1] == ["best"] * is_relevant


def test_superseded_fact_is_not_returned() -> None:
    old = found(known_fact("The user lives in Lisbon.", superseded_by="new", message_ids=["m1"]), "old", score=0.9)
    new = found(known_fact("The user lives in Porto.", message_ids=["m2"]), "new", score=0.1)
    assert ids(ranked("Where do I live?", old, new)) == ["new"]


@pytest.mark.parametrize(
    "query", ["Where did I live before?", "Where did I use to live previously?", "我以前住在哪里?"]
)
def test_superseded_fact_is_returned_to_a_question_about_the_past(query: str) -> None:
    old = found(known_fact("The user lives in Lisbon.", superseded_by="new", message_ids=["m1"]), "old", score=0.9)
    new = found(known_fact("The user lives in Porto.", message_ids=["m2"]), "new", score=0.1)
    assert set(ids(ranked(query, old, new))) == {"old", "new"}


def test_message_says_which_of_its_words_are_outdated() -> None:
    quote = "I live in Lisbon"
    old = found(known_fact(quote, superseded_by="new", message_ids=["m1"]), "old")
    told = [message("m1", f"{quote} and like it"), message("m2", quote), message("m1", f"{quote} too", thread="t2")]
    outdated = {(hit.item.thread, hit.item.id): hit.outdated for hit in ranked("Where do I live?", old, *told)}
    assert outdated == {("t1", "m1"): (quote,), ("t1", "m2"): (), ("t2", "m1"): ()}


def test_fact_says_which_words_of_its_messages_are_outdated() -> None:
    quote = "I live in Lisbon"
    old = found(known_fact("The user lives in Lisbon.", quote=quote, superseded_by="new", message_ids=["m1"]), "old")
    tea = found(known_fact("The user likes tea.", quote=f"{quote} and like tea", message_ids=["m1"]), "tea")
    home = found(known_fact("The user lives in Porto.", message_ids=["m2"]), "new")
    outdated = {hit.item.id: hit.outdated for hit in ranked("Where do I live?", old, tea, home)}
    assert outdated == {"tea": (quote,), "new": ()}


def test_message_that_confirmed_a_superseded_fact_says_which_of_its_words_are_outdated() -> None:
    again = {"again": {"thread": "t2", "message_ids": ["m5"], "quote": "I live in Lisbon"}}
    old = found(known_fact("I live in Lisbon.", superseded_by="new", message_ids=["m1"], more_sources=again), "old")
    hits = ranked("Where do I live?", old, message("m5", "Yes, I live in Lisbon.", thread="t2"))
    assert [hit.outdated for hit in hits] == [("I live in Lisbon",)]


def test_ties_go_to_the_newer() -> None:
    older, newer = message("older", "Yes, it is", at=iso(0)), message("newer", "No, it's not", at=iso(1))
    weights = only(fact=1.0)
    assert ids(ranked("?", older, newer, weights=weights)) == ["newer", "older"]
    assert ids(ranked("?", newer, older, weights=weights)) == ["newer", "older"]


def test_fresh_message_is_found_by_words_alone() -> None:
    shares, strange = message("shares", "I live in Lisbon", score=None), message("strange", "Tuesday", score=None)
    hits = ranked(fresh=[shares, strange])
    assert ids(hits) == ["shares"]
    assert "cosine" not in hits[0].signals


def test_message_found_fresh_and_by_meaning_is_one_hit() -> None:
    hits = ranked(
        "Where do I live?",
        message("m1", "I live in Lisbon"),
        fresh=[message("m1", "I live in Lisbon", score=None)],
    )
    assert ids(hits) == ["m1"]
    assert "cosine" in hits[0].signals


def test_item_the_store_could_not_score_is_found_by_words_alone() -> None:
    texts = ("The user lives in Lisbon.", "Sarah likes tea.")
    home, drink = (found(known_fact(text), text[-5:], score=None) for text in texts)
    assert [hit.item.id for hit in ranked("Who lives in Lisbon?", drink, home)] == ["sbon."]


scores = st.floats(-1, 1, allow_nan=False)


@settings(max_examples=100, deadline=None)
@given(st.lists(scores, max_size=12))
def test_scores_descend_within_the_sum_of_weights_and_explanations_add_up(cosines: list[float]) -> None:
    items = [message(f"m{n}", f"I live {n}" * (n % 2), score=cosine) for n, cosine in enumerate(cosines)]
    hits = ranked("Where do I live?", *items, explain=True)
    assert len(hits) == len(items)
    values = [hit.score for hit in hits]
    assert values == sorted(values, reverse=True)
    highest = sum(getattr(RankingWeights(), weight.name) for weight in fields(RankingWeights))
    assert all(0 <= value <= highest for value in values)
    for hit in hits:
        assert sum(hit.shares.values()) == pytest.approx(hit.score)
        assert all(0 <= value <= 1 + 1e-9 for name, value in hit.signals.items() if name != "cosine")


def test_shares_are_given_only_when_asked_for() -> None:
    assert ranked("?", message("m1"))[0].shares == {}
    assert set(ranked("?", message("m1"), explain=True)[0].shares) <= {*SIGNALS, "source"}


@pytest.mark.parametrize("narrow", [0.001, 1.0])
def test_narrow_band_of_cosines_ranks_as_a_wide_one(narrow: float) -> None:
    items = [message(f"m{n}", score=0.7 + narrow * n / 10) for n in range(3)]
    assert [round(hit.score, 6) for hit in ranked("?", *items, weights=only(dense=1.0))] == [1.0, 0.5, 0.0]


def test_fact_and_the_message_it_rests_on_are_one_hit() -> None:
    fact = found(known_fact("The user lives in Lisbon.", message_ids=["m1"]), "fact", score=0.9)
    assert len(ranked("Where do I live?", fact, message("m1", "I live in Lisbon", score=0.1))) == 1
    assert len(ranked("Where do I live?", message("m1", "I live in Lisbon", score=0.9), fact)) == 1


def test_best_fact_on_a_message_goes_where_the_message_would() -> None:
    fact = found(known_fact("The user moved.", message_ids=["m1", "m2"]), "fact", score=0.1)
    told = [message("m1", "I live in Lisbon", score=0.9), message("m3", "Lisbon, on Tuesday", score=0.2)]
    hits = ranked("Lisbon", *told, fact, explain=True)
    assert ids(hits) == ["fact", "m3"]
    assert hits[0].shares["source"] > 0
    assert sum(hits[0].shares.values()) == pytest.approx(hits[0].score)


@pytest.mark.parametrize(
    "twin", ["I live in Lisbon now and like it a lot, really", "i live in lisbon now and like it a lot, really"]
)
def test_near_duplicates_are_one_hit(twin: str) -> None:
    items = [message("m1", "I live in Lisbon now and like it a lot, really", score=0.9), message("m2", twin)]
    assert ids(ranked("Lisbon", *items)) == ["m1"]


def test_texts_that_differ_in_a_word_that_counts_are_two_hits() -> None:
    assert len(ranked("live", message("m1", "I live in Lisbon"), message("m2", "I live in Porto"))) == 2


def test_limit_cuts_after_what_is_said_twice_was_left_out() -> None:
    items = [message("m1", "Lisbon", score=0.9), message("m2", "Lisbon", score=0.8), message("m3", "Porto", score=0.1)]
    assert ids(ranked("?", *items, limit=2)) == ["m1", "m3"]


def test_message_that_says_more_than_its_best_fact_is_told_too() -> None:
    told = message("m1", "I moved to Porto and have a cat", score=0.9)
    facts = [
        found(known_fact("The user lives in Porto.", quote="moved to Porto", message_ids=["m1"]), "home", score=0.3),
        found(known_fact("The user has a cat.", quote="have a cat", message_ids=["m1"]), "cat", score=0.5),
    ]
    assert ids(ranked("Which cat?", told, *facts)) == ["cat", "m1"]
