"""A script in the place of a strong model: the data tell it which turns end which, so it measures everything but that.

It keeps one fact of each message, in its own words. A known fact of an outdated turn is superseded by one of a valid
turn if it is among the numbered facts that the prompt shows; what it is not shown it cannot cite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_hybrid_memory.assertions import objection
from langchain_hybrid_memory.questions import SENTENCE_END, is_asked
from tests.doubles.extractor import KNOWN, MESSAGE, PROMPT
from tests.doubles.life import digest
from tests.doubles.scripted import ScriptedChatModel

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from langchain_core.messages import BaseMessage

SHOWN = 40
"""So many first characters tell a text from all others."""


def marked_model(turns: Mapping[str, str], *, stale: Collection[str], current: Collection[str]) -> ScriptedChatModel:
    """Make the script for one conversation.

    Args:
        turns: Texts by id.
        stale: Ids of the outdated turns.
        current: Ids of the valid ones.
    """
    ids = {text.strip()[:SHOWN]: turn for turn, text in turns.items()}
    told: dict[str, str] = {}

    def read(messages: Sequence[BaseMessage], _: Any) -> dict[str, Any]:
        prompt = next(match for message in reversed(messages) if (match := PROMPT.match(message.text)))
        known = [(int(number), told.get(text[:SHOWN])) for number, text in KNOWN.findall(prompt["known"])]
        facts = []
        for number, _, _, text in MESSAGE.findall(prompt["said"]):
            turn, words = ids.get(text.strip()[:SHOWN]), quotable(text)
            if turn is None or not words:
                continue
            told[words[:SHOWN]] = turn
            ended = [n for n, source in known if turn in current and source in stale]
            facts.append(fact(int(number), words, ended))
        return {"facts": facts, "entities": []}

    return ScriptedChatModel(structured=read, replies=digest)


def quotable(text: str) -> str:
    """The first sentence that tells something, or the first words of a question that do."""
    pieces = SENTENCE_END.split(text)
    for sentence in (piece.strip() for piece in pieces):
        for words in (sentence, sentence.rpartition(",")[0], " ".join(sentence.split()[:-1])):
            is_told = len(words.split()) > 1 and not is_asked(words, text)
            if is_told and objection(words, text, words) is None:
                return words
    return ""


def fact(message: int, words: str, supersedes: Sequence[int]) -> dict[str, Any]:
    return {
        "message": message,
        "quote": words,
        "subject": "user",
        "attribute": "other",
        "value": words,
        "fact": words,
        "since": None,
        "importance": 2,
        "confirms": [],
        "supersedes": list(supersedes),
    }
