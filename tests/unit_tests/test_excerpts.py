"""What of a long text is shown is what was asked about, in its order, with the gaps marked."""

from __future__ import annotations

import pytest

from langchain_hybrid_memory.budget import approximate_tokens
from langchain_hybrid_memory.excerpts import excerpt
from langchain_hybrid_memory.keywords import query_weights

STORY = (
    "We had a slow start into the week. My sister Sarah moved to Porto in May. The weather was fine on most days. "
    "She works there as a nurse at the harbour hospital. Then we watched a film and went to bed early."
)


def shown(question: str, text: str = STORY, *, tokens: int = 30) -> str:
    return excerpt(text, query_weights(question), tokens=tokens, count=approximate_tokens)


def test_sentences_that_fit_are_shown_in_their_order() -> None:
    told = "… My sister Sarah moved to Porto in May. … She works there as a nurse at the harbour hospital. …"
    assert shown("Is the nurse at the hospital my sister Sarah?") == told


def test_sentence_with_something_new_goes_before_one_that_repeats() -> None:
    text = "Porto, Porto again. The train to Porto was late. Ben likes plums and pears and all other fruit."
    assert shown("train to Porto, plums", text, tokens=22) == (
        "… The train to Porto was late. Ben likes plums and pears and all other fruit."
    )


def test_short_text_is_whole() -> None:
    assert shown("Sarah", tokens=100) == STORY


@pytest.mark.parametrize("question", ["", "Quantum chromodynamics?"])
def test_beginning_is_shown_where_nothing_fits(question: str) -> None:
    assert shown(question).startswith("We had a slow start into the week.")


def test_best_sentence_is_cut_where_it_is_too_long() -> None:
    assert shown("nurse", tokens=6) == "She works there as a nu…"


def test_full_width_stops_end_sentences() -> None:
    text = "今日は雨だった。姉のさらはポルトに住んでいる。夜は映画を見た。"
    assert shown("さらはどこに住んでいる？", text, tokens=20) == "… 姉のさらはポルトに住んでいる。 …"


@pytest.mark.parametrize("tokens", [1, 5, 17, 60])
@pytest.mark.parametrize("text", [STORY, "word " * 400, "。" * 50, "a. " * 300])
def test_room_is_never_exceeded(text: str, tokens: int) -> None:
    assert approximate_tokens(shown("Is Sarah a nurse? word a", text, tokens=tokens)) <= tokens
