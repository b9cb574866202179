"""How each step behaves: one frozen dataclass a step, checked when built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias, get_args

from langchain_hybrid_memory.errors import ConfigurationError
from langchain_hybrid_memory.memories import Fact, Role

ExtractionMode: TypeAlias = Literal["background", "inline", "manual"]
Admit: TypeAlias = Callable[[Fact], str | None]
"""Gets a fact before it is stored, without an id; returns why it must not be, in a word or two, or `None`.

What it raises leaves the turns pending, as any failure does.
"""
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
class RecallConfig(_Checked):
    """What a turn brings back from long-term memory."""

    pinned_tokens: int = 300
    """Pinned facts take at most this much of each prompt; those pinned beyond it are recalled like any other."""

    limit: int = 12
    """At most this many facts and messages."""
    budget_tokens: int = 900
    """The recalled block never holds more tokens than this."""
    item_tokens: int = 160
    """One fact or message takes at most this many of them; a longer one is cut."""
    candidates: int = 50
    """How many facts, and how many messages, the store is asked for."""
    fresh_limit: int = 50
    """How many of the newest messages are looked at by words alone, for those not indexed yet."""
    keyword_weight: float = 0.4
    """Share of the keyword signal in the score, in (0, 1]; the rest is the dense signal."""

    def __post_init__(self) -> None:
        """Refuse a share above the whole."""
        _Checked.__post_init__(self)
        if self.keyword_weight > 1:
            msg = f"keyword_weight={self.keyword_weight!r} is a share; it must be in (0, 1]"
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
