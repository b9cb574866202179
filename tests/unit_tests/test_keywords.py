"""Which texts are found by which words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_hybrid_memory.keywords import TermCounter, coverage, index_terms, matching, query_weights, stem


def found(query: str, text: str) -> float:
    return coverage(query_weights(query), frozenset(index_terms(text)))


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("hike", "She hiked the whole way"),
        ("cities", "a city by the sea"),
        ("planning", "We planned it; plans change"),
        ("Sarah", "Sarah's birthday"),
        ("zoe", "Zoë"),
        ("\uff23\uff21\uff26\uff25", "café"),
        ("straße", "STRASSE"),
        ("猫", "我的猫很可爱"),
        ("我喜欢的猫", "我的猫"),
        ("京都", "来月、京都へ行きます"),
        ("ラーメン", "好きな食べ物はラーメンです"),
        ("ซื้อ", "เธอชอบไปซื้อของ"),
        ("서울", "서울에서 만났다"),
        ("नमस्ते", "उसने कहा नमस्ते"),
        ("2024", "in May 2024"),
    ],
)
def test_word_is_found(query: str, text: str) -> None:
    assert found(query, text) > 0


@pytest.mark.parametrize(
    ("query", "text"), [("hat", "that chat"), ("cat", "catalogue"), ("猫", "我的狗"), ("😀", "😀")]
)
def test_word_is_not_found(query: str, text: str) -> None:
    assert found(query, text) == 0


def test_coverage_is_the_weighted_share_of_content_words() -> None:
    # 8 of the 8 + 4 characters that count; `the` does not
    assert found("the mountain boat", "mountain air") == round(8 / 12, 6)


def test_coverage_of_all_terms_is_one() -> None:
    assert found("who hiked mountains?", "hiking the mountain") == 1.0


def test_stop_words_count_when_there_is_nothing_else() -> None:
    assert found("who are you", "I know who you are") == 1.0


def test_query_terms_are_capped_to_the_heaviest() -> None:
    weights = query_weights(" ".join(f"w{number}" for number in range(1_000)) + " mountaineering")
    assert len(weights) == 32
    assert stem("mountaineering") in weights


@given(st.text())
def test_no_query_is_fts_syntax(query: str) -> None:
    assert all(matching(term).count('"') == 2 for term in query_weights(query))


@given(st.text(), st.text())
def test_coverage_is_between_none_and_all(query: str, text: str) -> None:
    assert 0.0 <= found(query, text) <= 1.0


texts = st.text(alphabet="abceginostuy'éß猫京 .-_7", max_size=40)


@given(texts, texts)
def test_counting_a_term_is_counting_it_in_the_terms_of_the_text(query: str, text: str) -> None:
    terms = list(query_weights(query))
    before, counted = TermCounter(terms).count([query, text])
    assert before.tolist() == TermCounter(terms).count([query])[0].tolist()
    present = index_terms(text)
    for term, count in zip(terms, counted, strict=True):
        assert (count > 0) == (term in present)
        if term.isascii():
            assert count == present.count(term)


@pytest.mark.parametrize(
    ("query", "text"), [("city using hopping", "Cities USED by hops; a velocity, shopping"), ("猫", "猫猫")]
)
def test_words_are_counted_in_any_inflection_and_not_inside_others(query: str, text: str) -> None:
    assert sum(TermCounter(query_weights(query)).count([text])[0]) == {"猫": 2}.get(query, 3)
