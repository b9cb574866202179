"""How each step behaves: one frozen dataclass a step, checked when built."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias, get_args

from langchain_core.documents import BaseDocumentCompressor

from langchain_hybrid_memory.errors import ConfigurationError
from langchain_hybrid_memory.memories import Fact
from langchain_hybrid_memory.records import Role

ExtractionMode: TypeAlias = Literal["background", "inline", "manual"]
Admit: TypeAlias = Callable[[Fact], str | None]
"""Gets a fact before it is stored, without an id; returns why it must not be, in a word or two, or `None`.

What it raises leaves the turns pending, as any failure does.
"""
Placement: TypeAlias = Literal["tail", "system"]
StructuredMethod: TypeAlias = Literal["function_calling", "json_mode", "json_schema"]


@dataclass(frozen=True, kw_only=True)
class _Checked:
    """Numbers in a configuration are positive."""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, int | float) and not isinstance(value, bool) and not value > 0:
                msg = f"{type(self).__name__}.{item.name} is {value!r}; it must be positive"
                raise ConfigurationError(msg)


@dataclass(frozen=True, kw_only=True)
class BufferConfig(_Checked):
    """The recent messages that a prompt holds verbatim."""

    max_messages: int = 60
    """At most this many messages; the newest turn is always whole."""
    max_tokens: int = 8_000
    """At most this many tokens; the newest turn is always whole."""
    is_pruned: bool = False
    """Whether turns are taken out of the thread's `messages` once they are summarized, extracted and recorded, so that
    its checkpoints stay small. Old checkpoints keep them. Needs LangGraph's reducer `add_messages` on the channel."""


@dataclass(frozen=True, kw_only=True)
class RecordConfig(_Checked):
    """What of a message goes on record."""

    max_characters: int = 100_000
    """Of a longer message the rest is not remembered; the thread itself keeps it whole."""


@dataclass(frozen=True, kw_only=True)
class SummaryConfig(_Checked):
    """When and how the messages that leave the window are digested."""

    after_messages: int = 20
    """Summarize once this many messages are not yet in the summary."""
    after_tokens: int = 6_000
    """Or once they hold this many tokens."""
    keep_messages: int = 10
    """Leave at least this many of the newest messages out of the summary."""
    summary_tokens: int = 400
    """Ask for at most this many tokens of digest."""

    def __post_init__(self) -> None:
        """Refuse to keep more than would trigger a summary."""
        _Checked.__post_init__(self)
        if self.keep_messages >= self.after_messages:
            msg = f"keep_messages={self.keep_messages!r} must be smaller than after_messages={self.after_messages!r}"
            raise ConfigurationError(msg)


@dataclass(frozen=True, kw_only=True)
class RankingWeights:
    """How much each signal of `ranking.signals` adds to a score; 0 switches one off.

    Round numbers that serve six public sets of conversations, English and Chinese, together; on none of them they are
    the best there are. Most can be halved or doubled for about one point of recall.
    """

    dense: float = 0.6
    """Nearness in meaning."""
    keyword: float = 0.4
    """Shared words, the rare ones most."""
    coverage: float = 0.3
    """Share of the question's words in the text, what stands before it and its speaker's name."""
    answer: float = 0.2
    """Shared words with the message before, where that asked something."""
    following: float = 0.3
    """Shared words with the message behind."""
    passage: float = 0.5
    """Share of the question's words in the message and those around it, the rare ones most."""
    thread: float = 0.4
    """Whether its conversation holds more that fits."""
    speaker: float = 0.5
    """Whether the question names who said it, or whom a fact is about."""
    date: float = 0.7
    """Whether it was said when the question says."""
    role: float = 0.4
    """Whether it was said by whom the question is about: the user, or the assistant."""
    length: float = 0.1
    """Whether something was said at all."""
    kind: float = 0.1
    """Whether it has a time or a number, where one is asked for."""
    instruction: float = 1.2
    """The two nearest standing instructions, by nearness in meaning, of those in the nearer half of what was found."""
    preference: float = 1.0
    """Preferences, by nearness in meaning, where advice is asked for."""
    recency: float = 0.0
    """Lateness, where the question is about the present. Off: it was measured to change nothing."""
    fact: float = 0.3
    """How well the best fact from its thread fits the question."""
    importance: float = 0.05
    """Important facts before details. Not measured: no set at hand says what is important."""

    def __post_init__(self) -> None:
        """Refuse what is no weight."""
        for item in fields(self):
            value = getattr(self, item.name)
            if not 0 <= value < math.inf:
                msg = f"RankingWeights.{item.name} is {value!r}; a weight is at least 0 and finite"
                raise ConfigurationError(msg)


@dataclass(frozen=True, kw_only=True)
class RecallConfig(_Checked):
    """What a turn brings back from long-term memory."""

    pinned_tokens: int = 300
    """Pinned facts take at most this much of each prompt; those pinned beyond it are recalled like any other."""

    limit: int = 12
    """At most this many facts and messages."""
    budget_tokens: int = 900
    """The recalled block never holds more tokens than this."""
    item_tokens: int = 160
    """One fact or message takes at most this many of them; of a longer one the sentences that fit best are shown."""
    excerpt_tokens: int = 50
    """So many one of them takes at first if it is more than twice as long, so that it does not take the room of three;
    what the budget leaves then goes to the best."""
    candidates: int = 200
    """How many facts, and how many messages, the store is asked for: about 100 by meaning and 100 by word."""
    deadline_seconds: float = 2.0
    """A turn waits at most so long for the store and the embedding before its answer, and once more behind it; what
    they could not do by then it does without. `math.inf` waits to the end."""
    question_characters: int = 2_000
    """Of a longer message its first and last characters, so many in all, are searched for."""
    fresh_limit: int = 20
    """How many of the newest messages are looked at by words alone, for those not indexed yet."""
    weights: RankingWeights = RankingWeights()
    """How what was found is put in order."""
    min_relevance: float = 0.25
    """Nothing is recalled for a question unless something has at least this mean of cosine and share of its words.

    Calibrated on the default embedding, where it silences made-up topics and next to no question that has an answer. Of
    a model whose cosines are all high, such as E5, those of 20 candidates or more are measured from the lowest of them;
    fewer are never silenced. What leans on the conversation is judged half as strictly.
    """
    reranker: BaseDocumentCompressor | None = None
    """Reorders the best hits: any document compressor, such as a cross-encoder; those it drops are not recalled."""
    placement: Placement = "tail"
    """Where the block stands: beside the newest message (`tail`), so that a provider's prefix cache holds, or at the
    end of the system message (`system`), the classic layout."""

    def __post_init__(self) -> None:
        """Refuse a placement nobody knows."""
        _Checked.__post_init__(self)
        if self.placement not in get_args(Placement):
            msg = f"placement={self.placement!r} is unknown; use one of {', '.join(get_args(Placement))}"
            raise ConfigurationError(msg)


@dataclass(frozen=True, kw_only=True)
class MemorizeConfig(_Checked):
    """When the model is called after a reply; one call serves all turns that wait by then.

    Turns are extracted as soon as any of the three limits is reached. Whatever they say, messages are indexed at once.
    """

    after_turns: int = 6
    """Extract once this many turns wait; 1 extracts after each."""
    after_tokens: int = 1_200
    """Or once they hold this many tokens."""
    after_seconds: float = 2.0
    """Or once nothing was said for this long; a new turn restarts the wait."""
    retry_seconds: float = 30.0
    """What failed is tried again after this long, and after twice as long each time it fails anew, up to a day."""


@dataclass(frozen=True, kw_only=True)
class ExtractConfig(_Checked):
    """How facts and entities are drawn from messages."""

    roles: tuple[Role, ...] = ("user", "assistant")
    """Whose messages the model reads. With the user's alone, those that only ask something cost no call."""
    method: StructuredMethod | None = None
    """How the model is asked for structured output; `None` leaves the choice to the model's own integration."""
    batch_tokens: int = 2_000
    """Messages of at most this many tokens go into one model call; a longer episode goes alone and cut."""
    neighbors: int = 10
    """At most this many known facts are shown to the model beside the messages: current ones about those whom the
    messages name, up to half of them, and those most like the messages."""
    max_facts: int = 60
    """The model is told to give at most this many a call; those beyond are dropped and counted."""
    max_entities: int = 60
    """At most this many entities of an answer are kept; those beyond are dropped and counted."""
    max_aliases: int = 10
    """An entity takes at most this many aliases from one answer."""
    max_characters: int = 1_000
    """A fact of an answer whose sentence or value is longer, and an entity whose name is, are dropped and counted."""
    open_turn_seconds: float = 600.0
    """A turn that never ended (its model failed) is extracted after this long."""
    daily_tokens: int | None = None
    """A user costs at most about this many tokens a day (UTC), prompts and answers, summaries included; what is said
    beyond that stays queued until the next day. `None` sets no cap."""
    instructions: str = ""
    """Added to the prompt, in the application's own words; a call costs so many tokens more."""
    categories: tuple[str, ...] = ()
    """What facts are filed under, for the model to choose from, and `other`. With none, the kind of property a fact
    tells (`residence`, `preference`, ...) is its category."""
    admit: Admit | None = None
    """Has the last word on each new fact; what it rejects is counted with its reason."""

    def __post_init__(self) -> None:
        """Refuse a method no integration knows."""
        _Checked.__post_init__(self)
        if self.method not in (None, *get_args(StructuredMethod)):
            msg = f"method={self.method!r} is unknown; use one of {', '.join(get_args(StructuredMethod))}, or None"
            raise ConfigurationError(msg)
        if not self.roles or not set(self.roles) <= set(get_args(Role)):
            msg = f"roles={self.roles!r}: name at least one of {', '.join(get_args(Role))}"
            raise ConfigurationError(msg)
        if not all(name.strip() for name in self.categories):
            msg = f"categories={self.categories!r}: none of the names may be empty"
            raise ConfigurationError(msg)
