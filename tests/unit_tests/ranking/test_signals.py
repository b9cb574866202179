"""Each signal alone tells what it is for from what it is not, and steps aside where it has nothing to say."""

from __future__ import annotations

from typing import Any

import pytest

from langchain_hybrid_memory.ranking.candidates import read_candidates
from langchain_hybrid_memory.ranking.fusion import UNSUPPORTED
from langchain_hybrid_memory.ranking.pool import Pool
from langchain_hybrid_memory.ranking.question import read_question
from langchain_hybrid_memory.ranking.signals import SIGNALS
from tests.doubles.builders import NOW, iso, known_fact
from tests.unit_tests.ranking.builders import found, message, values


def fact(key: str, text: str, **more: Any) -> Any:
    return found(known_fact(text, message_ids=[f"source of {key}"], **more), key)


def test_keyword_prefers_the_rarer_word() -> None:
    items = [message("common", "we went hiking"), message("rare", "we saw a lynx"), message("also", "hiking again")]
    scores = values("keyword", "hiking lynx", *items)
    assert scores["rare"] == 1.0
    assert 0 < scores["common"] < 0.9


def test_keyword_leaves_out_the_names_of_speakers() -> None:
    addressed = message("addressed", "Hey Ana, how are you?", speaker="Ben")
    told = message("told", "I painted a lake", speaker="Ana")
    assert values("keyword", "What did Ana paint?", addressed, told) == {"told": 1.0, "addressed": 0.0}


def test_name_alone_is_still_a_word() -> None:
    assert values("keyword", "Ana?", message("m1", "Ana was here", speaker="Ana"))["m1"] == 1.0


def test_coverage_counts_text_speaker_and_what_stood_before() -> None:
    items = [
        message("text", "Kyoto"),
        message("before", "yes", context="Kyoto?"),
        message("name", "no", speaker="Kyoto"),
    ]
    assert values("coverage", "Kyoto", *items, message("none", "maybe")) == {
        "text": 1,
        "before": 1,
        "name": 1,
        "none": 0,
    }


def test_answer_needs_a_question_before() -> None:
    asked = message("asked", "To Kyoto", context="Where will the holiday take you?")
    told = message("told", "Lovely", context="The holiday took us far.")
    assert values("answer", "Where did the holiday take me?", asked, told) == {"asked": 1.0, "told": 0.0}


def test_message_taken_up_by_the_next_one_counts() -> None:
    first, second = message("first", "Guess what", position=3), message("second", "Wow, Kyoto", position=4)
    elsewhere = message("elsewhere", "Hm", position=3, thread="t2")
    assert values("following", "Kyoto", first, second, elsewhere) == {"first": 1.0, "second": 0.0, "elsewhere": 0.0}


def test_words_count_together_with_those_of_the_messages_around_and_less_from_further_off() -> None:
    near = [message("asked", "Did you go to Kyoto?", position=0), message("told", "Yes, by train.", position=1)]
    far = [
        message("away", "Our train was late.", position=9),
        message("other", "A train.", thread="elsewhere", position=0),
    ]
    shares = values("passage", "Kyoto by train", *near, *far)
    assert shares["told"] > shares["away"] == shares["other"] > 0
    assert shares["told"] < 1.0


def test_long_message_says_less_with_each_word() -> None:
    long = message("long", "By train. " + "So it goes. " * 100)
    assert values("passage", "train", message("short", "By train."), long)["long"] < 0.2


def test_thread_with_more_that_fits_counts_more() -> None:
    rich = [message(f"r{n}", f"Kyoto {n}", thread="rich", score=0.8) for n in range(3)]
    poor = [message("p0", "Kyoto now", thread="poor", score=0.8), message("p1", "hm", thread="poor", score=0.1)]
    strengths = values("thread", "Kyoto", *rich, *poor)
    assert strengths["r0"] == strengths["r2"] == 0.6  # five messages in two threads: three have company
    assert strengths["p0"] == strengths["p1"] < 0.4


def test_thread_of_one_message_adds_nothing_to_it() -> None:
    notes = [message("n0", "Kyoto", thread="t0", score=0.9), message("n1", "hm", thread="t1", score=0.1)]
    assert values("thread", "Kyoto", *notes) == {"n0": 0.0, "n1": 0.0}


def test_speaker_named_in_the_question_counts() -> None:
    items = [message("ana", "one", speaker="Ana"), message("ben", "two", speaker="Ben Ito")]
    assert values("speaker", "What did Ben say?", *items) == {"ana": 0.0, "ben": 1.0}


@pytest.mark.parametrize("query", ["What did Ana and Ben say?", "What was said?", "What did Cem say?"])
def test_speaker_steps_aside_where_nobody_is_singled_out(query: str) -> None:
    items = [message("ana", "one", speaker="Ana"), message("ben", "two", speaker="Ben")]
    assert set(values("speaker", query, *items).values()) == {0.0}


def test_fact_about_somebody_named_counts() -> None:
    facts = [fact("sarah", "Sarah is a nurse.", subject="sarah"), fact("user", "The user is a cook.", subject="user")]
    assert values("speaker", "What is Sarah's job?", *facts) == {"sarah": UNSUPPORTED, "user": 0.0}


def test_time_named_in_the_question_counts_and_shortly_afterwards_half() -> None:
    items = [message("then", "a", at=iso(0)), message("told later", "b", at=iso(3)), message("other", "c", at=iso(60))]
    assert values("date", "What did we do on 20 May 2024?", *items) == {"then": 1.0, "told later": 0.5, "other": 0.0}


def test_last_week_is_relative_to_now() -> None:
    items = [message("last week", "a", at=iso(-7)), message("today", "b", at=iso(0))]
    assert NOW.weekday() == 0
    assert values("date", "What did I do last week?", *items) == {"last week": 1.0, "today": 0.5}


def test_own_words_count_unless_the_assistants_are_asked_for() -> None:
    items = [message("user", "a"), message("assistant", "b", role="assistant")]
    assert values("role", "Which films do I like?", *items) == {"user": 1.0, "assistant": 0.0}
    assert values("role", "Which films did you recommend to me?", *items) == {"user": 0.0, "assistant": 1.0}
    assert values("role", "你给我推荐了哪些电影？", *items) == {"user": 0.0, "assistant": 1.0}


def test_asking_for_advice_is_not_asking_what_was_advised() -> None:
    items = [message("user", "a"), message("assistant", "b", role="assistant")]
    assert values("role", "Can you recommend a film?", *items)["user"] == 1.0


def test_saying_more_counts_up_to_a_point() -> None:
    lengths = values(
        "length", "?", message("short", "Ok"), message("long", "word " * 60), message("vast", "words " * 900)
    )
    assert 0 < lengths["short"] < lengths["long"] == lengths["vast"] == 1.0


def test_text_has_the_kind_of_thing_that_is_asked_for() -> None:
    items = [message("time", "yesterday"), message("number", "three of them"), message("neither", "nice")]
    assert values("kind", "When was it?", *items) == {"time": 1.0, "number": 0.0, "neither": 0.0}
    assert values("kind", "How many were there?", *items) == {"time": 0.0, "number": 1.0, "neither": 0.0}
    assert set(values("kind", "Who was there?", *items).values()) == {0.0}


def test_standing_instruction_comes_up_unasked_the_nearer_the_more() -> None:
    items = [
        message("near", "Always name the yield when I ask about funds.", score=0.9),
        message("far", "Never use emoji. Please.", score=0.5),
        message("told", "I have always liked funds.", score=0.9),
        message("assistant", "Always diversify.", role="assistant", score=0.1),
    ]
    assert values("instruction", "Which funds?", *items) == {"near": 1.0, "far": 0.5, "told": 0.0, "assistant": 0.0}


def test_no_more_than_two_standing_instructions_come_up_unasked() -> None:
    items = [message(name, f"Always begin with {name}.", score=score / 10) for score, name in enumerate("abcd", 1)]
    assert {name for name, value in values("instruction", "Which funds?", *items).items() if value} == {"c", "d"}


def test_standing_instruction_about_something_else_does_not_come_up() -> None:
    items = [
        message("asked", "Funds are on my list.", score=0.9),
        message("near", "Always name the yield.", score=0.55),
        message("far", "Never use emoji.", score=0.45),
        message("last", "Hello!", score=0.1),
    ]
    assert {name for name, value in values("instruction", "Which funds?", *items).items() if value} == {"near"}


def test_preference_comes_up_where_advice_is_asked() -> None:
    items = [message("prefers", "I prefer trains to planes", score=0.9), message("other", "I took a plane", score=0.1)]
    assert values("preference", "Can you suggest a way to get there?", *items) == {"prefers": 1.0, "other": 0.0}
    assert set(values("preference", "When was I there?", *items).values()) == {0.0}


def test_lateness_counts_only_for_the_present() -> None:
    items = [message("old", "a", at=iso(0)), message("new", "b", at=iso(9))]
    assert values("recency", "Where do I live now?", *items) == {"old": 0.0, "new": 1.0}
    assert set(values("recency", "Where did I live?", *items).values()) == {0.0}
    assert set(values("recency", "Where did I previously work, and now?", *items).values()) == {0.0}


def resting(message_id: str, text: str = "A fact.", *, score: float = 0.5, **more: Any) -> Any:
    return found(known_fact(text, message_ids=[message_id], **more), f"fact on {message_id}", score=score)


def signal(name: str, query: str, *items: Any) -> dict[str, float]:
    """One signal of each message, though ranking would tell a fact in its place."""
    pool = Pool(read_question(query, searched=query, now=NOW), read_candidates(found=items, fresh=[]))
    scores = SIGNALS[name](pool).round(3).tolist()
    return {each.key: score for each, score in zip(pool.candidates, scores, strict=True)}


@pytest.mark.parametrize("name", ["keyword", "coverage", "passage"])
def test_message_is_found_by_the_words_of_a_fact_that_rests_on_it(name: str) -> None:
    items = [message("source", "Been here for years now"), message("other", "Been there", thread="another")]
    scores = signal(name, "Kyoto", *items, resting("source", "The user lives in Kyoto."))
    assert scores["source"] > scores["other"] == 0.0


def test_message_is_as_near_as_a_fact_on_it_is_nearer_than_others() -> None:
    items = [message(name, score=score) for name, score in (("near", 0.3), ("far", 0.3), ("none", 0.3), ("top", 0.6))]
    scores = signal("dense", "?", *items, resting("near", score=0.9), resting("far", score=0.7))
    assert scores["top"] == 1.0
    assert scores["near"] > 0.1
    assert scores["far"] == scores["none"] == 0.0


def test_fact_that_is_the_only_one_makes_no_message_nearer() -> None:
    items = [message("source", score=0.3), message("other", score=0.3), message("top", score=0.6)]
    scores = signal("dense", "?", *items, resting("source", score=0.9))
    assert scores["source"] == scores["other"] == 0.0


def test_fact_speaks_for_its_thread_by_the_share_of_messages_that_facts_rest_on() -> None:
    rich = [message(name, thread="rich") for name in ("source", "beside")]
    poor = [message(name, thread="poor") for name in ("another", "lone")]
    facts = [resting("source", "In Kyoto.", thread="rich", score=0.9), resting("another", thread="poor", score=0.1)]
    scores = signal("fact", "Kyoto", *rich, *poor, *facts)
    assert scores["source"] == scores["beside"] == 0.5
    assert scores["another"] == scores["lone"] == 0.0
    assert signal("fact", "Kyoto", *rich, *poor, facts[0])["beside"] == 0.25


def test_important_facts_count() -> None:
    items = [fact("detail", "A detail.", importance=1), fact("core", "A core.", importance=3), message("m")]
    assert values("importance", "?", *items) == {"detail": 0.0, "core": UNSUPPORTED, "m": 0.0}


HOSTILE = [
    "",
    "   \n",
    "the of and",
    '" OR 1=1 -- NEAR( * AND NOT ^ {a b} :',
    "(a+)+$ [[[ \\",
    "a" * 100_000,
    "word " * 20_000,
    "\x00\x01\ufffe\ud800",
    "🙂🙂 👩‍👩‍👧‍👦",
    "on 99 May 0000, 31 February, 2024-99-99, 0 days ago, 999 years ago, last May",
    "1 " * 5_000 + "!" * 5_000,
    "you " * 3_000 + "recommend",
]


@pytest.mark.parametrize("query", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("name", SIGNALS)
def test_no_query_makes_a_signal_fail(name: str, query: str) -> None:
    items = [message("m1", query[:50_000] or "x"), message("m2", "I live in Lisbon"), fact("f1", "A fact.")]
    assert all(0 <= value <= 1 for value in values(name, query, *items).values())
