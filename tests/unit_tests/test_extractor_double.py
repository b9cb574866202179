"""The scripted extractor finds the scenes' facts, with exact quotes, in ever new words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from langchain_hybrid_memory.prompts.extraction import Extraction, extraction_prompt, repair_prompt
from tests.doubles.extractor import extracting_model
from tests.doubles.scripted import Fault, ScriptedChatModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import AnyMessage

    from langchain_hybrid_memory.records import StoredFact, StoredMessage

SCENE = (
    "Hi, I'm Alex and I live in Lisbon.",
    "My friend Sarah works at Google as a software engineer.",
    "She's been there for 3 years and loves it.",
    "I'm planning a trip to Japan in March.",
    "I prefer budget accommodation and love trying local food.",
)


def prompt_for(texts: Sequence[str], known: Sequence[str] = (), *, role: str = "user") -> list[AnyMessage]:
    said = [{"at": "2026-03-11T09:00:00+00:00", "speaker": None, "role": role, "text": text} for text in texts]
    facts = [{"text": text} for text in known]
    return extraction_prompt(cast("list[StoredMessage]", said), cast("list[StoredFact]", facts))


def extract(model: ScriptedChatModel, prompt: list[AnyMessage]) -> Extraction:
    answer: Any = model.with_structured_output(Extraction, include_raw=True).invoke(prompt)
    extraction: Extraction = answer["parsed"]
    return extraction


def told(extraction: Extraction) -> list[tuple[str, str, str]]:
    return [(fact.subject, fact.attribute, fact.value) for fact in extraction.facts]


def test_scene_gives_its_facts_and_entities() -> None:
    extraction = extract(extracting_model(), prompt_for(SCENE))
    assert told(extraction) == [
        ("user", "name", "Alex"),
        ("user", "residence", "Lisbon"),
        ("Sarah", "employer", "Google"),
        ("Sarah", "occupation", "software engineer"),
        ("Sarah", "tenure", "3 years"),
        ("user", "plan", "trip to Japan in March"),
        ("user", "preference", "budget accommodation"),
        ("user", "preference", "trying local food"),
    ]
    assert {(entity.name, entity.type) for entity in extraction.entities} == {
        ("Lisbon", "place"),
        ("Sarah", "person"),
        ("Google", "organization"),
        ("Japan", "place"),
    }
    assert all(fact.quote in SCENE[fact.message - 1] for fact in extraction.facts)


def test_facts_are_worded_anew_on_every_call() -> None:
    model = extracting_model()
    extractions = [extract(model, prompt_for(SCENE)) for _ in range(5)]
    for facts in zip(*(extraction.facts for extraction in extractions), strict=True):
        assert len({fact.fact for fact in facts}) == 5
        assert len({fact.quote for fact in facts}) == 1


@pytest.mark.parametrize("number", range(7))
def test_move_supersedes_the_old_home_however_it_was_worded(number: int) -> None:
    old = extract(extracting_model(seed=number), prompt_for(SCENE[:1]))
    known = ["The user prefers tea.", *(fact.fact for fact in old.facts)]
    extraction = extract(extracting_model(), prompt_for(["Actually I moved to Porto last week."], known))
    (moved,) = extraction.facts
    assert (moved.value, moved.since, moved.supersedes) == ("Porto", "2026-03-04", [3])


def test_what_is_known_is_confirmed() -> None:
    (fact,) = extract(
        extracting_model(), prompt_for(["I live in Lisbon."], ["They said the user lives in Rome."])
    ).facts
    assert fact.confirms == []
    (fact,) = extract(
        extracting_model(), prompt_for(["I live in Lisbon."], ["The user lives in Lisbon, it seems."])
    ).facts
    assert (fact.confirms, fact.supersedes) == ([1], [])


def test_pronoun_is_resolved_by_what_is_known() -> None:
    known = ["Sarah works at Google as a software engineer."]
    assert told(extract(extracting_model(), prompt_for([SCENE[2]], known))) == [("Sarah", "tenure", "3 years")]
    assert told(extract(extracting_model(), prompt_for([SCENE[2]]))) == []


def test_questions_and_the_assistant_give_nothing() -> None:
    assert told(extract(extracting_model(), prompt_for(["Do you know that I live in Lisbon?"]))) == []
    assert told(extract(extracting_model(), prompt_for(SCENE, role="assistant"))) == []


def test_repair_is_answered_like_the_first_prompt() -> None:
    model = extracting_model(failures={("structured", 0): Fault.MALFORMED})
    prompt = prompt_for(SCENE[:1])
    broken: Any = model.with_structured_output(Extraction, include_raw=True).invoke(prompt)
    assert broken["parsed"] is None
    repaired = extract(model, repair_prompt(prompt, broken["raw"], str(broken["parsing_error"])))
    assert told(repaired) == [("user", "name", "Alex"), ("user", "residence", "Lisbon")]
