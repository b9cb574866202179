"""Keeps of a model's facts those that rest on words that were really said, and said as a fact."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from langchain_hybrid_memory.assertions import is_passed_on, is_someone_elses, objection, without_denials
from langchain_hybrid_memory.config import ExtractConfig
from langchain_hybrid_memory.instructions import SENTENCE, believed, is_order, told
from langchain_hybrid_memory.prompts.extraction import OTHER, ExtractedFact, Extraction
from langchain_hybrid_memory.questions import is_asked
from langchain_hybrid_memory.records import StoredMessage, Trust, entity_key, fingerprint

USER = "user"
WORD = re.compile(r"\w+")
WHITE_SPACE = re.compile(r"\s+")
SPELLINGS_OF_USER = frozenset({"user", "the user", "i", "me", "myself"})


class Candidate(NamedTuple):
    """An extracted fact whose quote was found, with the message it was found in."""

    fact: ExtractedFact
    message: StoredMessage
    subject: str

    @property
    def claim(self) -> str:
        """What it claims, as a fingerprint; see `claim_of`."""
        return claim_of(self.subject, self.fact.attribute, self.fact.value)


def ground(
    facts: Sequence[ExtractedFact],
    messages: Sequence[StoredMessage],
    *,
    aliases: Mapping[str, str],
    config: ExtractConfig,
) -> tuple[list[Candidate], Counter[str]]:
    """Keep the facts whose quote occurs in a message of the batch, white space and case apart.

    A quote that stands in another message than the one cited is moved there: small models count badly but copy well.

    Args:
        facts: The model's facts.
        messages: The batch, in the order the model saw it numbered.
        aliases: Subjects by the other names they go by, both folded.
        config: Facts beyond its `max_facts`, longer than its `max_characters`, and those in none of its `categories`
            if it has some, are rejected.

    Returns:
        The candidates in the order of their messages, and how many facts were rejected for each reason.
    """
    rejected = +Counter({"too many": len(facts) - config.max_facts})
    candidates: list[Candidate] = []
    for fact in facts[: config.max_facts]:
        source = _source(fact, messages)
        if source is None:
            rejected["quote not found"] += 1
        elif config.categories and fact.category not in (*config.categories, OTHER):
            rejected["unknown category"] += 1
        elif max(len(fact.fact), len(fact.value), len(fact.subject)) > config.max_characters:
            rejected["too long"] += 1
        elif (reason := _objection(fact, source, aliases)) is not None:
            rejected[reason] += 1
        else:
            candidates.append(Candidate(fact, source, _subject(fact.subject, source, aliases)))
    order = {message["id"]: index for index, message in enumerate(messages)}
    return sorted(candidates, key=lambda candidate: order[candidate.message["id"]]), rejected


def within_limits(extraction: Extraction, config: ExtractConfig) -> tuple[Extraction, Counter[str]]:
    """An answer without the entities that are too many, or have too long a name; and how many were left out and why.

    Its facts are looked at in `ground`.
    """
    entities = [
        entity.model_copy(update={"aliases": _short(entity.aliases, config)[: config.max_aliases]})
        for entity in extraction.entities[: config.max_entities]
        if _short([entity.name], config)
    ]
    many = max(0, len(extraction.entities) - config.max_entities)
    rejected = Counter({"too many": many, "too long": len(extraction.entities) - many - len(entities)})
    return extraction.model_copy(update={"entities": entities}), +rejected


def _short(texts: Iterable[str], config: ExtractConfig) -> list[str]:
    return [text for text in texts if len(text) <= config.max_characters]


def claim_of(subject: str, attribute: str, value: str) -> str:
    """What is claimed, or denied, as a fingerprint that equal claims share; a value without words claims nothing."""
    named = without_denials(value) or fold(value)
    return fingerprint(subject, attribute, named) if named else ""


def fold(text: str) -> str:
    """Fold a text so that only its words count."""
    return " ".join(WORD.findall(text.casefold()))


def is_quoted(quote: str, text: str) -> bool:
    """Whether a quote occurs in a text, white space and case apart; an empty one never does."""
    wanted = WHITE_SPACE.sub(" ", quote).strip().casefold()
    return bool(wanted) and wanted in WHITE_SPACE.sub(" ", text).casefold()


def gives_orders(fact: ExtractedFact, source: StoredMessage) -> bool:
    """Whether a fact, or the words it rests on, tell their reader what to do without being a wish of the user.

    The user may say how the assistant is to behave, in words of their own. Nobody else may; no text may pose as a part
    of a prompt; and nothing is believed behind such words.
    """
    by: Trust = "user" if source["role"] == "user" else "document"
    text = source["text"]
    sentences = [sentence for sentence in SENTENCE.findall(text) if is_quoted(fact.quote, sentence)]
    return (
        any(is_order(said) for said in (fact.quote, *sentences))
        or any(told(said, by) != said for said in (fact.quote, fact.fact, fact.value))
        or (fact.attribute == "instruction" and is_passed_on(fact.quote, text))
        or not is_quoted(fact.quote, believed(source))
    )


def without_quote(text: str, quote: str, *, blank: str) -> str:
    """Replace a quote wherever it stands by `blank`, matched as grounding matches it: white space and case apart."""
    if not is_quoted(quote, text):
        return text
    flat, wanted = WHITE_SPACE.sub(" ", text), WHITE_SPACE.sub(" ", quote).strip().casefold()
    # folding may lengthen a character (ß becomes ss): where in `flat` each folded one comes from
    origins = [index for index, character in enumerate(flat) for _ in character.casefold()] + [len(flat)]
    kept: list[str] = []
    position = 0
    for piece in flat.casefold().split(wanted):
        is_torn = position > 0 and origins[position - 1] == origins[position]  # half a character matched: it goes too
        kept.append(flat[origins[position] + is_torn : origins[position + len(piece)]])
        position += len(piece) + len(wanted)
    return blank.join(kept)


def _source(fact: ExtractedFact, messages: Sequence[StoredMessage]) -> StoredMessage | None:
    cited = messages[fact.message - 1 : fact.message] if fact.message > 0 else []
    return next((message for message in [*cited, *messages] if is_quoted(fact.quote, message["text"])), None)


def _subject(subject: str, message: StoredMessage, aliases: Mapping[str, str]) -> str:
    """Fold a subject; "the user" is the speaker where messages name their speakers, else `user`."""
    folded = entity_key(subject)
    if folded in SPELLINGS_OF_USER:
        return entity_key(message["speaker"]) if message["speaker"] else USER
    return aliases.get(folded, folded)


def _objection(fact: ExtractedFact, source: StoredMessage, aliases: Mapping[str, str]) -> str | None:
    """Why a grounded fact is not worth keeping, if it is not."""
    if not fact.fact.strip():
        return "empty"
    if gives_orders(fact, source):
        return "an instruction"
    if is_asked(fact.quote, source["text"]):
        return "a question"
    is_about_user = _subject(fact.subject, source, aliases) == USER
    if source["role"] != "user" and (is_about_user or fact.attribute == "instruction"):
        return "about the user by another"
    if is_about_user and is_someone_elses(fact.quote, source["text"]):
        return "somebody else's words"
    return objection(fact.quote, source["text"], fact.fact)
