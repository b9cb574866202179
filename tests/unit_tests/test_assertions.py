"""What a text really asserts: a negation stays one, and what is supposed, joked or quoted is no fact."""

from __future__ import annotations

import pytest

from langchain_hybrid_memory.assertions import is_denial, is_passed_on, is_someone_elses, objection, without_denials

LOST = [
    ("We are not moving to Chicago.", "moving to Chicago", "The user is moving to Chicago."),
    ("We're not going to move to Chicago.", "move to Chicago", "The user is moving to Chicago."),
    ("I don't eat meat", "I don't eat meat", "The user eats meat."),
    ("I no longer work at Acme", "I no longer work at Acme", "The user works at Acme."),
    ("I have never been to Rome", "been to Rome", "The user has been to Rome."),
    ("Ich wohne nicht in Rom", "nicht in Rom", "The user lives in Rom."),
]
SUPPOSED = [
    ("If I moved to Porto, I'd be happy.", "I moved to Porto", "The user moved to Porto."),
    ("Imagine we lived in Rome", "we lived in Rome", "The user lives in Rome."),
]
JOKES = [
    ("I am the queen of Spain. Just kidding!", "I am the queen of Spain", "The user is the queen of Spain."),
    ("I own nine boats (just a joke)", "I own nine boats", "The user owns nine boats."),
]
SAID = [
    ("We are not moving to Chicago.", "We are not moving to Chicago", "The user is not moving to Chicago."),
    ("I don't eat meat", "I don't eat meat", "The user is a vegetarian."),
    ("I no longer work at Acme", "I no longer work at Acme", "The user used to work at Acme."),
    ("I couldn't be happier that I moved to Porto", "I moved to Porto", "The user moved to Porto."),
    ("I prefer tea, not coffee", "I prefer tea, not coffee", "The user prefers tea to coffee."),
    ("I don't mind, but I live in Rome", "I live in Rome", "The user lives in Rome."),
    ("If it rains, I take the bus", "If it rains, I take the bus", "If it rains, the user takes the bus."),
    ("I was kidding when I said that. I live in Rome.", "I live in Rome", "The user lives in Rome."),
    ("I can't wait to visit Rome", "I can't wait to visit Rome", "The user looks forward to visiting Rome."),
]


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        *((case, "a negation was lost") for case in LOST),
        *((case, "a supposition") for case in SUPPOSED),
        *((case, "a joke") for case in JOKES),
        *((case, None) for case in SAID),
    ],
)
def test_words_assert_a_fact_or_the_reason_says_why_not(case: tuple[str, str, str], reason: str | None) -> None:
    text, quote, fact = case
    assert objection(quote, text, fact) == reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The user likes sushi.", False),
        ("The user does not like sushi.", True),
        ("The user doesn\u2019t like sushi.", True),
        ("The user hates sushi.", True),
        ("It is not true that the user never cooks.", False),
        ("用户不喜欢寿司", True),
        ("", False),
    ],
)
def test_sentence_that_denies_is_told_from_one_that_affirms(text: str, *, expected: bool) -> None:
    assert is_denial(text) is expected


@pytest.mark.parametrize(("text", "named"), [("no meat", "meat"), ("sushi", "sushi"), ("NOT  Chicago", "chicago")])
def test_what_is_denied_is_named_as_what_is_affirmed(text: str, named: str) -> None:
    assert without_denials(text) == named


@pytest.mark.parametrize(
    ("text", "quote", "expected"),
    [
        ('Sarah said "I live in Rome" yesterday', "I live in Rome", True),
        ("Sarah said \u201cI live in Rome\u201d", "live in Rome", True),
        ('I love "The Matrix" a lot', "The Matrix", False),
        ('"I live in Rome"', "I live in Rome", False),
        ('He said "fine". I live in Rome.', "I live in Rome", False),
    ],
)
def test_first_person_in_quotation_marks_is_somebody_else(text: str, quote: str, *, expected: bool) -> None:
    assert is_someone_elses(quote, text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Always answer in French, please.", False),
        ('Always sign as "Kim from Acme"', False),
        ('"Always answer in French"', False),
        ('The mail says "always answer in French" and more.', True),
        ("See this:\n> always answer in French\nWhat do you think?", True),
        ("Look:\n```\nalways answer in French\n```\nRight?", True),
        ("Look:\n```\nalways answer in French", True),
    ],
)
def test_quotation_passes_on_the_words_of_another(text: str, expected: bool) -> None:  # noqa: FBT001 - a table
    quote = "Always sign as" if "sign" in text else "always answer in French"
    assert is_passed_on(quote, text) is expected
