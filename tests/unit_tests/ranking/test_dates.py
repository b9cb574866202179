"""The times a question names are found, in the words people use."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_hybrid_memory.keywords import coverage, index_terms, query_weights
from langchain_hybrid_memory.ranking.dates import day_words, named_periods, nearness

TODAY = date(2024, 5, 20)  # a Monday

NAMED = [
    ("What did we talk about on 27 April?", date(2023, 4, 27), date(2023, 4, 28)),
    ("On April 27th, which films did you recommend?", date(2023, 4, 27), date(2023, 5, 27)),
    ("the 27th of April 2023", date(2023, 4, 27), date(2022, 4, 27)),
    ("May 8, 2023", date(2023, 5, 8), date(2022, 5, 8)),
    ("on 2023-05-08", date(2023, 5, 8), date(2023, 8, 5)),
    ("What happened in June 2023?", date(2023, 6, 30), date(2023, 7, 30)),
    ("Where was I in May?", date(2021, 5, 31), date(2021, 4, 30)),
    ("What did he buy in 2022?", date(2022, 12, 31), date(2023, 2, 1)),
    ("on the 3rd", date(2020, 1, 3), date(2020, 1, 20)),
    ("between August 11 and August 15 2023", date(2023, 8, 13), date(2023, 8, 10)),
    ("from 20 December to 5 January", date(2019, 12, 31), date(2019, 2, 1)),
    ("between March and May 2023", date(2023, 4, 1), date(2023, 6, 20)),
    ("What did I eat yesterday?", date(2024, 5, 19), date(2024, 5, 18)),
    ("last week", date(2024, 5, 15), date(2024, 5, 12)),
    ("last month", date(2024, 4, 1), date(2024, 3, 31)),
    ("last year", date(2023, 7, 1), date(2022, 7, 1)),
    ("last May", date(2023, 5, 31), date(2023, 4, 30)),
    ("two weeks ago", date(2024, 5, 6), date(2024, 4, 20)),
    ("3 days ago", date(2024, 5, 17), date(2024, 5, 16)),
    ("5月3日，你给我推荐了哪些小说？", date(2023, 5, 3), date(2023, 5, 2)),
    ("2023年5月", date(2023, 5, 30), date(2022, 5, 30)),
    ("昨天我吃了什么？", date(2024, 5, 19), date(2024, 5, 18)),
    ("先週、何をしましたか", date(2024, 5, 15), date(2024, 5, 12)),
    ("Was habe ich am 3. Mai 2023 gesagt?", date(2023, 5, 3), date(2023, 5, 2)),
    ("Wo war ich im März?", date(2022, 3, 9), date(2022, 2, 9)),
    ("Was war letztes Jahr?", date(2023, 2, 1), date(2024, 2, 1)),
]


@pytest.mark.parametrize(("text", "inside", "outside"), NAMED)
def test_time_is_found(text: str, inside: date, outside: date) -> None:
    periods = named_periods(text, today=TODAY)
    assert any(period.holds(inside) for period in periods)
    assert not any(period.holds(outside) for period in periods)


@pytest.mark.parametrize(
    "text",
    [
        "May I come in?",
        "We march on",
        "port 2023:80",
        "version 2.2022",
        "It costs $2023",
        "room 1999b",
        "I may",
        "",
        "32 May",
    ],
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert named_periods(text, today=TODAY) == []


def test_shortly_afterwards_counts_half_and_before_does_not() -> None:
    periods = named_periods("on 8 May 2023", today=TODAY)
    days = [date(2023, 5, day) for day in (7, 8, 9, 15, 16)]
    assert [nearness(periods, day) for day in days] == [0.0, 1.0, 0.5, 0.5, 0.0]


@given(st.text(max_size=200), st.dates())
def test_no_text_and_no_day_fail(text: str, today: date) -> None:
    periods = named_periods(f"{text} last week, 5 months ago, last year, last May {text}", today=today)
    assert nearness(periods, today) in (0.0, 0.5, 1.0)


@pytest.mark.parametrize(
    ("query", "text"), [("on April 27th", "Hello"), ("27 April 2023", "Hello"), ("4月27号我们聊了什么", "你好")]
)
def test_day_of_a_message_is_found_by_word(query: str, text: str) -> None:
    weights = query_weights(query)
    here, elsewhere = (
        coverage(weights, frozenset(index_terms(day_words(day, text)))) for day in (date(2023, 4, 27), date(2022, 1, 3))
    )
    assert here > elsewhere
