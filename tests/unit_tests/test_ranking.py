"""What matters most comes first, and says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.store.base import Item, SearchItem

from langchain_hybrid_memory.memories import Hit
from langchain_hybrid_memory.ranking import FACT_PRIOR, USER_PRIOR, rank
from langchain_hybrid_memory.store._items import HybridItem, Signals
from tests.doubles.builders import ALEX, NOW, iso, known_fact, said


def found(value: Mapping[str, Any], key: str, *, score: float | None = 0.5, signals: Signals | None = None) -> Any:
    namespace = ALEX.namespace("facts") if "quote" in value else ALEX.thread_messages(value["thread"])
    item = Item(value=dict(value), key=key, namespace=namespace, created_at=NOW, updated_at=NOW)
    if signals:
        return HybridItem(item, score=score, signals=signals)
    return SearchItem(namespace, key, item.value, created_at=NOW, updated_at=NOW, score=score)


def message(key: str, text: str = "words", *, score: float | None = 0.5, **more: Any) -> Any:
    return found(said(key, text, **more), key, score=score)


def ranked(
    query: str = "Where do I live?",
    *,
    facts: Sequence[SearchItem] = (),
    messages: Sequence[SearchItem] = (),
    fresh: Sequence[SearchItem] = (),
    keyword_weight: float = 0.4,
) -> list[Hit]:
    return rank(query, facts=facts, messages=messages, fresh=fresh, keyword_weight=keyword_weight)


def ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.item.id for hit in hits]


def test_nothing_found_ranks_nothing() -> None:
    assert ranked() == []


def test_nearer_comes_first() -> None:
    assert ids(ranked(messages=[message("far", score=0.1), message("near", score=0.9)])) == ["near", "far"]


def test_shared_words_lift_what_is_as_near() -> None:
    near, lisbon = message("a", "Tuesday again"), message("b", "I live in Lisbon")
    assert ids(ranked("live Lisbon", messages=[near, lisbon])) == ["b", "a"]


def test_words_of_the_message_before_and_the_speaker_count() -> None:
    plain = message("plain", "yes", at=iso(1))
    answer = message("answer", "yes", context="Shall we book Kyoto?")
    spoken = message("spoken", "yes", speaker="Kyoto")
    assert set(ids(ranked("Kyoto", messages=[plain, answer, spoken])[:2])) == {"answer", "spoken"}


def test_signals_of_the_store_go_before_our_own_count_of_words() -> None:
    one = found(said("one", "nothing shared"), "one", signals=Signals(cosine=0.2, keyword=1.0))
    other = found(said("other", "I live in Lisbon"), "other", signals=Signals(cosine=0.2, keyword=0.0))
    hits = ranked("live Lisbon", messages=[other, one])
    assert ids(hits) == ["one", "other"]
    assert hits[0].signals == {"cosine": 0.2, "keyword": 1.0, "prior": USER_PRIOR}


def test_weight_of_words_can_be_all() -> None:
    hits = ranked(
        "Lisbon", messages=[message("near", score=0.9), message("word", "Lisbon", score=0.1)], keyword_weight=1
    )
    assert [(hit.item.id, hit.score) for hit in hits] == [("word", 1.0 + USER_PRIOR), ("near", USER_PRIOR)]


def test_superseded_fact_is_not_returned() -> None:
    old = found(known_fact("The user lives in Lisbon.", superseded_by="new"), "old", score=0.9)
    new = found(known_fact("The user lives in Porto."), "new", score=0.1)
    assert ids(ranked(facts=[old, new])) == ["new"]


def test_message_says_which_of_its_words_are_outdated() -> None:
    quote = "I live in Lisbon"
    old = found(known_fact(quote, superseded_by="new", message_ids=["m1"]), "old")
    told = [message("m1", f"{quote} and like it"), message("m2", quote), message("m1", quote, thread="t2")]
    outdated = {(hit.item.thread, hit.item.id): hit.outdated for hit in ranked(facts=[old], messages=told)}
    assert outdated == {("t1", "m1"): (quote,), ("t1", "m2"): (), ("t2", "m1"): ()}


def test_ties_go_to_the_newer() -> None:
    older, newer = message("older", at=iso(0)), message("newer", at=iso(1))
    assert ids(ranked(messages=[older, newer])) == ids(ranked(messages=[newer, older])) == ["newer", "older"]


def test_fresh_message_is_found_by_words_alone() -> None:
    shares, strange = message("shares", "I live in Lisbon", score=None), message("strange", "Tuesday", score=None)
    hits = ranked(fresh=[shares, strange])
    assert ids(hits) == ["shares"]
    assert set(hits[0].signals) == {"keyword", "prior"}


def test_message_found_fresh_and_by_meaning_is_one_hit() -> None:
    hits = ranked(messages=[message("m1", "I live in Lisbon")], fresh=[message("m1", "I live in Lisbon", score=None)])
    assert ids(hits) == ["m1"]
    assert "cosine" in hits[0].signals


def test_item_the_store_could_not_score_is_found_by_words_alone() -> None:
    home, drink = (
        found(known_fact(text), text[-5:], score=None) for text in ("The user lives in Lisbon.", "Sarah likes tea.")
    )
    assert ids(ranked("Who lives in Lisbon?", facts=[drink, home])) == ["sbon."]


scores = st.floats(-1, 1, allow_nan=False)


@settings(max_examples=200)
@given(st.lists(scores, max_size=12), st.floats(0.01, 1))
def test_scores_are_bounded_and_descend(cosines: list[float], keyword_weight: float) -> None:
    items = [message(f"m{n}", "I live" * (n % 2) or "words", score=cosine) for n, cosine in enumerate(cosines)]
    hits = ranked(messages=items, keyword_weight=keyword_weight)
    assert len(hits) == len(items)
    values = [hit.score for hit in hits]
    assert values == sorted(values, reverse=True)
    assert all(-1e-9 <= value <= 1 + FACT_PRIOR + 1e-9 for value in values)


@pytest.mark.parametrize("narrow", [0.001, 1.0])
def test_narrow_band_of_cosines_ranks_as_a_wide_one(narrow: float) -> None:
    items = [message(f"m{n}", score=0.7 + narrow * n / 10) for n in range(3)]
    scores = [round(hit.score - USER_PRIOR, 6) for hit in ranked(messages=items, keyword_weight=0.4)]
    assert scores == [0.6, 0.3, 0.0]


def test_fact_and_user_go_before_the_assistant_where_nothing_else_tells_them_apart() -> None:
    fact = found(known_fact("I live in Lisbon", confirmed_at=iso(-2)), "fact")
    told = [message("user", "I live in Lisbon", at=iso(-1)), message("assistant", "I live in Lisbon", role="assistant")]
    assert ids(ranked("unrelated", facts=[fact], messages=told)) == ["fact", "user", "assistant"]
