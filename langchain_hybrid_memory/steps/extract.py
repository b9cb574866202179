"""Asks the model, once a batch, which facts and entities pending episodes hold beside what is already known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import Runnable
from langgraph.store.base import BaseStore, Result, SearchItem, SearchOp
from openai import LengthFinishReasonError
from typing_extensions import TypedDict, override

from langchain_hybrid_memory._flow import Flow, attempt, batch, call
from langchain_hybrid_memory.budget import TokenCounter, cut_text
from langchain_hybrid_memory.config import ExtractConfig
from langchain_hybrid_memory.errors import ExtractionError
from langchain_hybrid_memory.prompts.extraction import Extraction, answer_schema, extraction_prompt, repair_prompt
from langchain_hybrid_memory.questions import is_only_asking
from langchain_hybrid_memory.records import StoredFact, StoredMessage, is_held
from langchain_hybrid_memory.scope import Scope
from langchain_hybrid_memory.steps.entities import load_entities, mentioned
from langchain_hybrid_memory.steps.load import Episode

PROBLEM_CHARACTERS = 600
"""Of a validation error, this much is sent back for repair."""
ALL = 1_000
"""At most this many facts of an episode are looked at."""
LINE_TOKENS = 16
"""What number, date and speaker add to a message in the prompt."""


class Usage(NamedTuple):
    """What model calls cost."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def plus(self, message: AIMessage | None) -> Usage:
        """Add one call, with the tokens the provider reported for it, if it did."""
        used = message.usage_metadata if message else None
        return Usage(
            self.calls + 1,
            self.prompt_tokens + (used["input_tokens"] if used else 0),
            self.completion_tokens + (used["output_tokens"] if used else 0),
        )


@dataclass(slots=True)
class Meter:
    """Counts calls as they are made, so that those of an attempt that fails are counted too."""

    usage: Usage = field(default_factory=Usage)

    def count(self, message: AIMessage | None) -> None:
        """Add a call, whatever came of it."""
        self.usage = self.usage.plus(message)


class Neighbor(TypedDict):
    """A known fact shown to the model, with its key."""

    key: str
    fact: StoredFact


def choose_episodes(
    episodes: Sequence[Episode], messages: Sequence[StoredMessage], *, config: ExtractConfig, count: TokenCounter
) -> tuple[list[Episode], list[StoredMessage]]:
    """Take the oldest episodes whose messages fit one model call, at least one; where that is too long, it is cut.

    A message that only asks something holds no fact. It is left out unless the assistant is read too: then it says what
    an answer is about.
    """
    said: dict[str, list[StoredMessage]] = {}
    for message in messages:
        if message["role"] in config.roles and ("assistant" in config.roles or not is_only_asking(message["text"])):
            said.setdefault(message["episode"], []).append(message)
    chosen: list[Episode] = []
    spent = 0
    for episode in episodes:
        price = sum(count(message["text"]) + LINE_TOKENS for message in said.get(episode["key"], ()))
        if chosen and spent + price > config.batch_tokens:
            break
        chosen.append(episode)
        spent += price
    batched = [message for episode in chosen for message in said.get(episode["key"], ())]
    share = config.batch_tokens // len(batched) if spent > config.batch_tokens else config.batch_tokens
    return chosen, [{**message, "text": cut_text(message["text"], tokens=share, count=count)} for message in batched]


def find_neighbors(
    scope: Scope, store: BaseStore, messages: Sequence[StoredMessage], *, limit: int
) -> Flow[list[Neighbor]]:
    """The known facts to show beside messages: current ones about those they name, then the most alike, best first.

    Both as if nothing had been drawn from these messages before: a second extraction sees what the first one saw.

    Args:
        scope: Whose facts.
        store: Where they are.
        messages: The batch.
        limit: At most this many facts, up to half of them for those whom the messages name.
    """
    namespace = scope.namespace("facts")
    entities = yield from load_entities(scope, store)
    named = mentioned(entities, messages)[:limit]
    episodes = dict.fromkeys(message["episode"] for message in messages)
    current = {"superseded_by": None, "confirms": None}
    queries = dict.fromkeys(message["text"] for message in messages if message["role"] == "user")
    found = yield from batch(
        store,
        [
            *(SearchOp(namespace, filter={"episode": episode}, limit=ALL) for episode in episodes),
            *(SearchOp(namespace, filter={**current, "subject": subject}, limit=limit) for subject in named),
            *(SearchOp(namespace, filter=current, query=query, limit=limit) for query in queries),
        ],
    )
    own, about, alike = (
        [item for items in part for item in cast("list[SearchItem]", items) if scope.owns(item.namespace)]
        for part in _split(found, len(episodes), len(named))
    )
    gone = {item.key for item in own if not is_held(cast("StoredFact", item.value))}
    ended = yield from batch(store, [SearchOp(namespace, filter={"superseded_by": key}, limit=limit) for key in gone])
    revived = [item for items in ended for item in cast("list[SearchItem]", items) if scope.owns(item.namespace)]
    alike.sort(key=lambda item: item.score or 0.0, reverse=True)
    newest = sorted(about, key=lambda item: str(item.value["confirmed_at"]), reverse=True)
    ranked = {item.key: item for item in [*revived, *newest][: max(1, limit // 2)] + alike if item.key not in gone}
    return [Neighbor(key=key, fact=cast("StoredFact", item.value)) for key, item in ranked.items()][:limit]


def _split(found: list[Result], *lengths: int) -> Iterator[list[Result]]:
    """Split a list into parts of these lengths and the rest."""
    for length in lengths:
        part, found = found[:length], found[length:]
        yield part
    yield found


def prompt_size(
    messages: Sequence[StoredMessage], neighbors: Sequence[Neighbor], *, config: ExtractConfig, count: TokenCounter
) -> int:
    """How many tokens the prompt of a batch has, its repair aside."""
    return sum(count(message.text) for message in _prompt(messages, neighbors, config))


def extract(
    model: BaseChatModel,
    messages: Sequence[StoredMessage],
    neighbors: Sequence[Neighbor],
    *,
    config: ExtractConfig,
    meter: Meter,
) -> Flow[Extraction]:
    """Ask for facts and entities; an answer that does not fit the schema is sent back once for repair.

    Each call is counted by `meter` as it is made, also where this raises in the end.

    Raises:
        ExtractionError: If the second answer does not fit either. An empty list of facts is an answer; an empty
            reply is not.
    """
    prompt = _prompt(messages, neighbors, config)
    options: dict[str, Any] = {"method": config.method} if config.method else {}
    structured = model.with_structured_output(answer_schema(config.max_facts, config.categories), **options)
    asked: list[AnyMessage] = prompt
    for _ in range(2):
        answer = yield from _ask(structured, asked, meter)
        if answer.extraction is not None:
            return answer.extraction
        asked = repair_prompt(prompt, answer.raw, answer.problem)
    msg = (
        f"the model's answer did not fit the schema, twice ({answer.reason}); the episodes stay pending. "
        "Try ExtractConfig(method=...), smaller batches (batch_tokens) or a stronger model"
    )
    raise ExtractionError(msg) from None  # the answer that caused it quotes messages


def _prompt(
    messages: Sequence[StoredMessage], neighbors: Sequence[Neighbor], config: ExtractConfig
) -> list[AnyMessage]:
    facts = [neighbor["fact"] for neighbor in neighbors]
    return extraction_prompt(messages, facts, instructions=config.instructions, categories=config.categories)


class _Answer(NamedTuple):
    """What came back of one request: an extraction, or a reason why not."""

    extraction: Extraction | None
    raw: AIMessage | None
    problem: str = ""
    """What is wrong, for the model; may quote what it wrote."""
    reason: str = ""
    """The kind of problem, for people; quotes nothing."""


class _Listener(BaseCallbackHandler):
    """Keeps the message a model answered with.

    `include_raw=True` would hand it over too, but runs the model in a thread pool, which holds up the exit of the
    process until the model has answered.
    """

    run_inline = True  # on the event loop: nothing here takes time

    def __init__(self) -> None:
        self.message: AIMessage | None = None

    @override
    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        generation = response.generations[0][0]
        if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage):
            self.message = generation.message


def _ask(structured: Runnable[Any, Any], prompt: Sequence[AnyMessage], meter: Meter) -> Flow[_Answer]:
    """Ask once. What the model answered but nobody could read, and what no server should answer, is a bad answer."""
    listener = _Listener()
    outcome = yield from attempt(call(structured, prompt, listener))
    raw = listener.message
    meter.count(raw)
    if raw is not None and raw.response_metadata.get("finish_reason") == "length":
        return _Answer(None, raw, "it was cut off; answer with fewer and shorter facts", "cut off")
    if isinstance(outcome.value, Extraction):
        return _Answer(Extraction(facts=outcome.value.facts, entities=outcome.value.entities), raw)
    if outcome.error is None:
        return _Answer(None, raw, "it holds nothing in the schema", "nothing in the schema")
    if raw is None and not isinstance(outcome.error, ValueError | LengthFinishReasonError):
        raise outcome.error
    return _Answer(None, raw, str(outcome.error)[:PROBLEM_CHARACTERS], type(outcome.error).__name__)
