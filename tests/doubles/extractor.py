"""A scripted brain for extraction: finds a handful of facts by rule, in the library's own prompt and schema.

    model = extracting_model(replies=lambda messages: "I see.", failures={("structured", 0): Fault.MALFORMED})

It knows "I'm X", "I live in X", "I moved to X (last week)", "X works at Y as a Z", "She's been there for N years",
"trip to X in MONTH", "I prefer X" and "love X"; questions and the assistant's words it leaves alone.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.doubles.scripted import ScriptedChatModel
from tests.doubles.wording import reword_fields

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

    from tests.doubles.scripted import Schema

NAME = r"[A-Z]\w+(?: [A-Z]\w+)*"
PROMPT = re.compile(r"^Known facts:\n(?P<known>.*?)\nMessages:\n(?P<said>.*)\nAnswer:\s*$", re.DOTALL)
MESSAGE = re.compile(
    r"^\[(\d+)\] (\d{4}-\d\d-\d\d) \w+, ([^:\n]*): (.*?)(?=\n\[\d+\] \d{4}-|\Z)", re.MULTILINE | re.DOTALL
)
KNOWN = re.compile(r"^(\d+)\. (.*)$", re.MULTILINE)
SENTENCE = re.compile(r"[^.?!\n]+[.?!]*")
KNOWN_HOME = re.compile(rf"\bThe (user) (?:lives in|moved to) ({NAME})")
KNOWN_JOB = re.compile(rf"({NAME}) works at ({NAME})")
KNOWN_VALUES = {"residence": KNOWN_HOME, "employer": KNOWN_JOB}
"""Where a known fact's words give subject and value, so that a newer value can supersede it."""
DAYS_AGO = {"today": 0, "yesterday": 1, "last week": 7, "last month": 30}


@dataclass(frozen=True, slots=True)
class Said:
    """One sentence of one message; `person` is who was last named before it."""

    message: int
    day: dt.date
    text: str
    person: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule makes of a sentence."""

    subject: str
    attribute: str
    value: str
    fact: str
    since: str | None = None
    entities: Mapping[str, str] | None = None


Known: TypeAlias = Mapping[int, str]
Rule: TypeAlias = Callable[[re.Match[str], Said], Iterator[Found]]


def name(match: re.Match[str], _: Said) -> Iterator[Found]:
    yield Found("user", "name", match[1], f"The user's name is {match[1]}.")


def home(match: re.Match[str], _: Said) -> Iterator[Found]:
    yield Found("user", "residence", match[1], f"The user lives in {match[1]}.", entities={match[1]: "place"})


def move(match: re.Match[str], said: Said) -> Iterator[Found]:
    since = (said.day - dt.timedelta(days=DAYS_AGO[match[2] or "today"])).isoformat()
    fact = f"The user moved to {match[1]} on {since} and lives there."
    yield Found("user", "residence", match[1], fact, since, {match[1]: "place"})


def job(match: re.Match[str], _: Said) -> Iterator[Found]:
    who, where, what = match.groups()
    entities = {who: "person", where: "organization"}
    yield Found(who, "employer", where, f"{who} works at {where} as a {what}.", entities=entities)
    yield Found(who, "occupation", what, f"{who} is a {what}.")


def tenure(match: re.Match[str], said: Said) -> Iterator[Found]:
    if said.person:
        yield Found(said.person, "tenure", match[1], f"{said.person} has held that job for {match[1]}.")


def trip(match: re.Match[str], _: Said) -> Iterator[Found]:
    where, month = match.groups()
    fact = f"The user is planning a trip to {where} in {month}."
    yield Found("user", "plan", f"trip to {where} in {month}", fact, entities={where: "place"})


def preference(match: re.Match[str], _: Said) -> Iterator[Found]:
    yield Found("user", "preference", match[1], f"The user prefers {match[1]}.")


def liking(match: re.Match[str], _: Said) -> Iterator[Found]:
    yield Found("user", "preference", match[1], f"The user loves {match[1]}.")


RULES: Sequence[tuple[re.Pattern[str], Rule]] = (
    (re.compile(rf"\bI(?:'m| am) ({NAME})\b"), name),
    (re.compile(rf"\bI live in ({NAME})"), home),
    (re.compile(rf"\bI(?:'ve)? moved to ({NAME})(?: ({'|'.join(DAYS_AGO)}))?"), move),
    (re.compile(rf"\b({NAME}) works at ({NAME}) as an? ([a-z]+(?: [a-z]+)*)"), job),
    (re.compile(r"\b(?:She|He|They)(?:'s| has|'ve| have) been there for (\w+ years?)"), tenure),
    (re.compile(rf"\btrip to ({NAME}) in ([A-Z][a-z]+)"), trip),
    (re.compile(r"\bI prefer ((?:(?! and\b)[^.,!?])+)"), preference),
    (re.compile(r"\bI (?:prefer .*and )?love ([^.,!?]+)"), liking),
)


def extract_by_rules(messages: Sequence[BaseMessage], _: Schema) -> dict[str, Any]:
    """Answer the extraction prompt, or its repair, with the facts and entities the rules find."""
    prompt = next(match for message in reversed(messages) if (match := PROMPT.match(message.text)))
    known = {int(number): text for number, text in KNOWN.findall(prompt["known"])}
    facts: list[dict[str, Any]] = []
    entities: dict[str, str] = {}
    for said in sentences(prompt["said"], known):
        for match, found in findings(said):
            facts.append(as_fact(match, said, found, known=known))
            entities |= found.entities or {}
    return {
        "facts": facts,
        "entities": [{"name": name, "type": kind, "aliases": []} for name, kind in entities.items()],
    }


def sentences(block: str, known: Known) -> Iterator[Said]:
    """Give every statement of everybody but the assistant, and who was last named: before, or in what is known."""
    jobs = [match for text in known.values() if (match := KNOWN_JOB.search(text))]
    person = jobs[-1][1] if jobs else None
    for number, day, speaker, text in MESSAGE.findall(block):
        for sentence in SENTENCE.findall(text) if speaker != "assistant" else ():
            if not sentence.endswith("?"):
                yield Said(int(number), dt.date.fromisoformat(day), sentence, person)
            person = named[1] if (named := KNOWN_JOB.search(sentence)) else person


def findings(said: Said) -> Iterator[tuple[re.Match[str], Found]]:
    """Apply every rule to a sentence."""
    for pattern, rule in RULES:
        for match in pattern.finditer(said.text):
            for found in rule(match, said):
                yield match, found


def as_fact(match: re.Match[str], said: Said, found: Found, *, known: Known) -> dict[str, Any]:
    """Put a finding into the schema, beside the known facts it confirms or supersedes."""
    return {
        "message": said.message,
        "quote": match[0].strip(),
        "subject": found.subject,
        "attribute": found.attribute,
        "value": found.value,
        "fact": found.fact,
        "since": found.since,
        "importance": 2,
        "confirms": [number for number, text in known.items() if found.fact.rstrip(".") in text],
        "supersedes": [number for number, text in known.items() if ends(found, text)],
    }


def ends(found: Found, text: str) -> bool:
    """Tell whether a known fact gives the same subject another value."""
    pattern = KNOWN_VALUES.get(found.attribute)
    match = pattern.search(text) if pattern else None
    return match is not None and match[1] == found.subject and match[2] != found.value


def extracting_model(**options: Any) -> ScriptedChatModel:
    """Make a chat model that extracts by rule and words each fact differently on every call."""
    return ScriptedChatModel(structured=extract_by_rules, reword=reword_fields("fact"), **options)
