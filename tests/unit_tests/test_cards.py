"""A notebook shows what callers get back readably in any theme, and runs nothing that somebody said."""

from __future__ import annotations

import re

import pytest

from langchain_hybrid_memory.cards import Returned
from langchain_hybrid_memory.memories import Entity, Hit, Moment, Provenance, Receipt, fact_from, message_from
from langchain_hybrid_memory.rebuild import Rebuilt
from langchain_hybrid_memory.status import Status
from tests.doubles.builders import NOW, day, iso, known_fact, said

HOSTILE = "<script>alert('1')</script>"
FACT = fact_from(HOSTILE, known_fact(HOSTILE, thread=HOSTILE, subject=HOSTILE, quote=HOSTILE))
ENDED = fact_from("e-0", known_fact("The user lives in Lisbon.", superseded_by="e-1", invalid_at=iso(3)))
MESSAGE = message_from(said("m1", HOSTILE, speaker=HOSTILE))
RETURNED: list[Returned] = [
    FACT,
    MESSAGE,
    Provenance(
        fact=FACT,
        quote=HOSTILE,
        message_ids=("m1",),
        messages=(MESSAGE,),
        thread=HOSTILE,
        said_at=NOW,
        confirmed_by=(FACT,),
        supersedes=(FACT,),
        superseded_by=FACT,
    ),
    Moment(at=NOW, label="superseded", until=day(3), fact=FACT),
    Entity(
        name=HOSTILE,
        type=HOSTILE,
        aliases=(HOSTILE,),
        first_seen_at=NOW,
        last_seen_at=NOW,
        facts=(FACT,),
        history=(FACT,),
    ),
    Hit(item=FACT, score=0.5, shares={HOSTILE: 0.5}, outdated=(HOSTILE,)),
    Receipt(removed={HOSTILE: 1}, remaining=(HOSTILE,)),
    Rebuilt(
        turns=1,
        facts=1,
        confirmed=0,
        superseded=0,
        rejected={HOSTILE: 1},
        calls=1,
        prompt_tokens=1,
        completion_tokens=1,
    ),
    Status(
        pending=1,
        failed=1,
        capped=0,
        running=0,
        last_error=HOSTILE,
        calls=2,
        prompt_tokens=30,
        completion_tokens=4,
        rejected=0,
    ),
]


@pytest.mark.parametrize("thing", RETURNED, ids=lambda thing: type(thing).__name__)
def test_card_runs_nothing_that_was_said(thing: Returned) -> None:
    shown = thing._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown
    assert "alert('" not in shown


@pytest.mark.parametrize("thing", RETURNED, ids=lambda thing: type(thing).__name__)
def test_card_has_no_text_color_or_background_of_its_own(thing: Returned) -> None:
    styles = " ".join(re.findall(r"style='([^']*)'", thing._repr_html_()))
    assert re.findall(r"(?<!-)color:(\w+)", styles.replace("background:none", "")) == []
    assert set(re.findall(r"background(?:-color)?:(\w+)", styles)) <= {"none", "currentColor"}


def test_what_is_no_longer_true_is_struck_out() -> None:
    assert "<s>The user lives in Lisbon.</s>" in ENDED._repr_html_()
    assert "2024-05-20 to 2024-05-23" in ENDED._repr_html_()
    assert "<s>" not in FACT._repr_html_()


def test_hit_is_explained_signal_by_signal_with_bars_as_long_as_they_count() -> None:
    shown = Hit(
        item=MESSAGE, score=0.75, shares={"dense": 0.5, "keyword": 0.25, "date": 0.0, "source": -0.5}
    )._repr_html_()
    assert re.findall(r"width:([\d.]+)em;background", shown) == ["6.0", "3.0", "0.0"]
    assert "0.50 dense" in shown
    assert "-0.50 source" in shown
    assert "date" not in shown
    assert "0.25 keyword" in shown


def test_what_is_empty_is_left_out() -> None:
    shown = Receipt(removed={"facts": 2})._repr_html_()
    assert "facts: 2" in shown
    assert "remaining" not in shown


def test_status_says_whether_anything_waits() -> None:
    idle = Status(
        pending=0,
        failed=0,
        capped=0,
        running=0,
        last_error=None,
        calls=2,
        prompt_tokens=30,
        completion_tokens=4,
        rejected=0,
    )
    assert "everything is learned" in idle._repr_html_()
    assert "last error" not in idle._repr_html_()
    assert "30 in, 4 out" in idle._repr_html_()
    assert repr(idle).startswith("Status(pending=0, ")
