"""Reads the questions that belong to a history: LoCoMo's file, or one in the common format."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

LOCOMO_TYPES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
LOCOMO_ID = re.compile(r"D\s*:?\s*(\d+)\s*:\s*(\d+)")
"""Some evidence ids are malformed: `D8:6; D9:17`, `D:11:26`, `D30:05`."""


class Question(NamedTuple):
    """What is asked of a history."""

    text: str
    type: str
    evidence: frozenset[str]
    """Ids of the turns (or sessions) that hold the answer; empty where nothing answers the question."""
    is_by_session: bool = False
    context: tuple[str, ...] = ()
    """The dialogue before the question, oldest first."""
    answer: str = ""


class Observation(NamedTuple):
    """A fact that a model drew from a history, with the turns it rests on."""

    speaker: str
    text: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """One person's history in a file, by the name the importer knows it by."""

    id: str
    questions: tuple[Question, ...]
    observations: tuple[Observation, ...] = ()


@dataclass(slots=True)
class Questions:
    """The conversations of a file, and the evidence that could not be resolved."""

    conversations: list[Conversation] = field(default_factory=list)
    unresolved: list[str] = field(default_factory=list)


def read_questions(path: Path) -> Questions:
    """Read the questions of a file; its turns are left to the importer."""
    document = json.loads(path.read_bytes())
    if isinstance(document, dict):
        return Questions([_common(held) for held in document["conversations"]])
    found = Questions()
    for sample in document:
        found.conversations.append(_locomo(sample, found.unresolved))
    return found


def _common(held: Mapping[str, Any]) -> Conversation:
    questions = tuple(
        Question(
            asked["q"],
            asked["type"],
            frozenset(asked["evidence"]),
            is_by_session=asked["evidence_level"] == "session",
            context=tuple(map(str, asked.get("context") or ())),
            answer=str(asked.get("answer") or ""),
        )
        for asked in held["questions"]
    )
    return Conversation(str(held["id"]), questions)


def _locomo(sample: Mapping[str, Any], unresolved: list[str]) -> Conversation:
    said = sample["conversation"]
    turns = {turn["dia_id"] for turns in said.values() if isinstance(turns, list) for turn in turns}
    questions = []
    for asked in sample["qa"]:
        kind = LOCOMO_TYPES[asked["category"]]
        named = list(_turn_ids(asked.get("evidence", [])))
        unresolved += [f"{sample['sample_id']} {name}" for name in named if name not in turns]
        evidence = frozenset(named) & turns if kind != "adversarial" else frozenset()
        if evidence or kind == "adversarial":
            answer = str(asked.get("answer") or "")
            questions.append(Question(asked["question"], kind, evidence, answer=answer))
    observations = (
        Observation(speaker, text, tuple(name for name in _turn_ids(evidence) if name in turns))
        for session in sample.get("observation", {}).values()
        for speaker, observed in session.items()
        for text, evidence in observed
    )
    return Conversation(
        str(sample["sample_id"]), tuple(questions), tuple(each for each in observations if each.evidence)
    )


def _turn_ids(raw: object) -> Iterator[str]:
    for text in raw if isinstance(raw, list) else [raw]:
        for session, turn in LOCOMO_ID.findall(str(text)):
            yield f"D{int(session)}:{int(turn)}"
