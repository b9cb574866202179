"""Stands in for a chat model and an embedding, so that the notebooks run without a key and without a download.

It understands the few sentences its rules are written for and can only repeat what its prompt shows it: whatever an
offline answer knows, memory has put there. For anything else, use a real model.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool

LITTLE_WORDS = frozenset(
    {
        "what",
        "when",
        "wher",
        "whic",
        "abou",
        "does",
        "the",
        "are",
        "and",
        "who",
        "user",
        "how",
        "did",
        "is",
        "do",
        "in",
        "to",
        "a",
        "of",
    }
)
NAME = r"([A-Z]\w+)"


@dataclass(frozen=True)
class Rule:
    """What some words tell: where `words` match, `fact` holds; `{0}` stands for the first group, `{1}` for the next."""

    words: str
    fact: str
    attribute: str
    subject: str = "user"
    value: str = "{0}"
    ends: str = "nothing"
    """Known facts in which this occurs are no longer true."""
    entities: Mapping[str, str] = field(default_factory=dict)
    """Who and what is named, each with its type."""


RULES = (
    Rule(rf"I'm {NAME}", "The user's name is {0}.", "name"),
    Rule(rf"I live in {NAME}", "The user lives in {0}.", "residence", entities={"{0}": "place"}),
    Rule(rf"moved to {NAME}", "The user lives in {0}.", "residence", entities={"{0}": "place"}),
    Rule(
        rf"friend {NAME} works at {NAME} as an? (\w+)",
        "{0}, the user's friend, works at {1} as a {2}.",
        "employer",
        subject="{0}",
        value="{1}",
        entities={"{0}": "person", "{1}": "organization"},
    ),
    Rule(rf"{NAME} now works at {NAME}", "{0} works at {1}.", "employer", subject="{0}", value="{1}"),
    Rule(rf"trip to {NAME} in (\w+)", "The user plans a trip to {0} in {1}.", "plan", entities={"{0}": "place"}),
    Rule(r"I eat no (\w+)", "The user eats no {0}.", "preference", value="no {0}"),
)


class OfflineModel(BaseChatModel):
    """Answers, extracts and summarizes by rule."""

    rules: Sequence[Rule] = RULES
    replies: Mapping[str, str] = {}
    """What to answer to a message, where that is written down beforehand."""

    @property
    def _llm_type(self) -> str:
        return "offline"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools, or the form of an answer, as chat models do."""
        return self.bind(tools=[convert_to_openai_tool(tool)["function"] for tool in tools])

    def _generate(self, messages: list[BaseMessage], *_: Any, **options: Any) -> ChatResult:
        answer = self._answer(messages, {tool["name"] for tool in options.get("tools", ())})
        used, made = count_tokens_approximately(messages), count_tokens_approximately([answer])
        answer.usage_metadata = {"input_tokens": used, "output_tokens": made, "total_tokens": used + made}
        return ChatResult(generations=[ChatGeneration(message=answer)])

    def _answer(self, messages: Sequence[BaseMessage], tools: set[str]) -> AIMessage:
        asked = messages[-1].text.split("</memory>")[-1].strip()
        if "Extraction" in tools:
            return _calling("Extraction", _extraction(messages[-1].text, self.rules))
        if isinstance(messages[-1], ToolMessage):
            return AIMessage(messages[-1].text)
        if messages[0].text.startswith("You keep the running summary"):
            return AIMessage(_summary(asked))
        if "get_weather" in tools and "weather" in asked:
            places = re.findall(rf"(?:lives|live) in {NAME}", "\n".join(message.text for message in messages))
            return _calling("get_weather", {"city": places[-1]}) if places else AIMessage("In which city?")
        return AIMessage(self.replies.get(asked) or _from_what_is_shown(asked, messages))


class OfflineEmbedding(Embeddings):
    """Embeds texts by their words: those that share words are near."""

    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector a text."""
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Add up a direction a word."""
        vector = [0.01] * 256
        for word in _words(text):
            digest = hashlib.blake2b(word.encode(), digest_size=2).digest()
            vector[digest[0]] += 1 if digest[1] % 2 else -1
        return vector


def _calling(name: str, arguments: dict[str, Any]) -> AIMessage:
    return AIMessage("", tool_calls=[ToolCall(name=name, args=arguments, id=f"call-{name}")])


def _extraction(prompt: str, rules: Sequence[Rule]) -> dict[str, Any]:
    known, said = prompt.split("\nMessages:\n")
    numbered = [(int(number), fact) for number, fact in re.findall(r"^(\d+)\. (.*)$", known, re.MULTILINE)]
    facts: list[dict[str, Any]] = []
    entities: dict[str, str] = {}
    for message, text in re.findall(r"^\[(\d+)\] \S+ \w+, user: (.*)$", said, re.MULTILINE):
        for rule, found in ((each, match) for each in rules for match in re.finditer(each.words, text)):
            fact = rule.fact.format(*found.groups())
            facts.append(
                {
                    "message": int(message),
                    "quote": found[0],
                    "subject": rule.subject.format(*found.groups()),
                    "attribute": rule.attribute,
                    "value": rule.value.format(*found.groups()),
                    "fact": fact,
                    "since": None,
                    "importance": 2,
                    "confirms": [number for number, old in numbered if old == fact],
                    "supersedes": [number for number, old in numbered if rule.ends in old],
                }
            )
            entities |= {name.format(*found.groups()): kind for name, kind in rule.entities.items()}
    return {"facts": facts, "entities": [{"name": n, "type": kind, "aliases": []} for n, kind in entities.items()]}


def _summary(prompt: str) -> str:
    """What the summary so far holds, and what the user told since."""
    before, said = prompt.split("\n\nNew messages:\n")
    told = re.findall(r"^[\d-]+, user: (.*[.!])$", said, re.MULTILINE)
    return (
        " ".join([*before.removeprefix("Summary so far:\n").removeprefix("none").split("\n"), *told]).strip()
        or "Nothing."
    )


def _from_what_is_shown(asked: str, messages: Sequence[BaseMessage]) -> str:
    """Repeat the line of the prompt that shares most words with a question."""
    if not asked.endswith("?"):
        return "I see. Tell me more."
    wanted = {word for word in _words(asked) if word not in LITTLE_WORDS}
    lines = list(_lines(messages, asked))
    best = max(lines, key=lambda line: len(wanted & set(_words(line))), default="")
    return f"From what I was shown: {best}" if wanted & set(_words(best)) else "I do not know: nobody told me."


def _lines(messages: Sequence[BaseMessage], asked: str) -> Iterator[str]:
    for message in messages:
        for line in message.text.splitlines() if not isinstance(message, AIMessage) else ():
            text = re.sub(r"^- \[.*?\] ", "", line)
            is_told = isinstance(message, HumanMessage) or "user" in text
            if is_told and text != asked and not text.endswith("?") and not text.startswith(("<", "From", "Where")):
                yield text


def _words(text: str) -> list[str]:
    """The words of a text, cut to their first letters so that `live` and `lives` are one, and `I` is the user."""
    return ["user" if word in {"i", "my", "me"} else word[:4] for word in re.findall(r"\w+", text.lower())]
