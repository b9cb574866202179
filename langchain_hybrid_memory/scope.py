"""Whom a run serves: the user, the thread, and the store namespaces that belong to them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal, TypeAlias, get_args

from langgraph.config import get_config
from langgraph.runtime import get_runtime

from langchain_hybrid_memory.errors import ConfigurationError, MissingUserError
from langchain_hybrid_memory.records import check_id

Kind: TypeAlias = Literal["messages", "facts", "entities", "summaries", "threads", "forgotten", "usage"]
MemorySwitch: TypeAlias = Literal["on", "read", "off"]

KINDS: tuple[Kind, ...] = get_args(Kind)
DERIVED: tuple[Kind, ...] = ("facts", "entities", "summaries")
"""What a rebuild makes anew."""
NESTING_NODE = re.compile(r"tools|.+\.(before|after)_(agent|model)")
"""Nodes of an agent whose code may run another agent; the first is where LangGraph runs tools."""
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-@+")


@dataclass(frozen=True, kw_only=True)
class Scope:
    """One user's memory, seen from one thread.

    Attributes:
        user_id: Any non-empty string; encoded into every namespace, so two ids never share one.
        thread_id: The conversation; empty for a run without one, which has no summary.
        is_read_only: Whether this turn may recall but leaves no trace in memory.
        is_fork: Whether the run goes on from a checkpoint its caller named, perhaps not the thread's latest.
        root: First segment of every namespace.
        is_staged: Whether what is derived from messages, and the queue, are those that a rebuild prepares aside.
    """

    user_id: str
    thread_id: str = ""
    is_read_only: bool = False
    is_fork: bool = False
    root: str = "memory"
    is_staged: bool = False

    def __post_init__(self) -> None:
        """Refuse a scope without a user.

        Raises:
            MissingUserError: If `user_id` is not a non-empty string.
            ConfigurationError: If `thread_id` is not a string.
        """
        if not isinstance(self.user_id, str) or not self.user_id:
            msg = (
                f"user_id is {self.user_id!r}: memory always belongs to somebody. "
                'Pass configurable={"user_id": "..."} (or a context with `user_id`) with each run, also one that '
                "goes on from a checkpoint: the checkpoint's config does not name the user"
            )
            raise MissingUserError(msg)
        check_id("thread_id", self.thread_id)

    @cached_property
    def home(self) -> tuple[str, ...]:
        """The namespace under which everything of this user lies, the queue aside."""
        return (self.root, "user", encode(self.user_id))

    @property
    def stage(self) -> tuple[str, ...]:
        """The namespace under which a rebuild of this user's memory is prepared."""
        return (*self.home, "rebuild")

    @property
    def pending(self) -> tuple[str, ...]:
        """The namespace of this user's entries in the queue."""
        if self.is_staged:
            return (*self.stage, "pending")
        return (*pending_root(self.root), encode(self.user_id))

    def namespace(self, kind: Kind) -> tuple[str, ...]:
        """The namespace of one kind of this user's memories, in all threads."""
        return (*self.stage, kind) if self.is_staged and kind in DERIVED else (*self.home, kind)

    def thread_messages(self, thread_id: str) -> tuple[str, ...]:
        """The namespace of the messages of one of this user's threads."""
        return (*self.namespace("messages"), encode(thread_id))

    def owns(self, namespace: Sequence[str]) -> bool:
        """Whether a namespace that a store answered with really is this user's."""
        return tuple(namespace[: len(self.home)]) == self.home


def pending_root(root: str) -> tuple[str, ...]:
    """The namespace of the queue of all users."""
    return (root, "pending")


@lru_cache(maxsize=1_024)
def encode(identifier: str) -> str:
    """Write any string as one namespace segment that no store confuses with another.

    Lower-case letters, digits, `-`, `@` and `+` stay; every other byte of the UTF-8 form becomes `=xx`. The result has
    no upper case (some stores match prefixes without case), no `.`, `%` or `_`, and is one to one. Empty becomes `=`.
    """
    if not identifier:
        return "="
    return "".join(
        character
        if character in PLAIN
        else "".join(f"={byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))
        for character in identifier
    )


def current_scope(root: str, *, user_id: str = "") -> Scope | None:
    """The scope of the run this is called in; `None` where memory is switched off for it.

    A `user_id` that the application has bound beforehand goes before whom the run names.
    The user comes from `context.user_id`, `configurable["user_id"]`, `configurable["langgraph_user_id"]` or the
    authenticated user of a LangGraph server, in this order; the switch from `context.memory` or
    `configurable["memory"]`. A run nested in another agent, in a tool or a hook of it, leaves no trace, as its "user"
    is that agent's model; unless `configurable["record_nested"]` says otherwise.

    Raises:
        MissingUserError: If none of them names a user.
        ConfigurationError: If the switch is not `on`, `read` or `off`.
    """
    runtime = get_runtime()
    configurable = get_config().get("configurable", {})
    context, server_info = (runtime.context, runtime.server_info) if runtime else (None, None)  # a chain has no runtime
    switch = _from_context(context, "memory") or configurable.get("memory", "on")
    if switch not in get_args(MemorySwitch):
        msg = f'configurable["memory"] is {switch!r}; use "on", "read" or "off"'
        raise ConfigurationError(msg)
    if switch == "off":
        return None
    server = server_info.user if server_info else None
    named = (
        user_id,
        _from_context(context, "user_id"),
        configurable.get("user_id"),
        configurable.get("langgraph_user_id"),
        server.identity if server else None,
    )
    return Scope(
        user_id=next((user for user in named if user), ""),
        thread_id=str(configurable.get("thread_id") or ""),
        is_read_only=switch == "read" or (_is_nested(configurable) and not configurable.get("record_nested")),
        is_fork="checkpoint_id" in get_config().get("metadata", {}),
        root=root,
    )


def _is_nested(configurable: Mapping[str, Any]) -> bool:
    """Whether another agent started the present run: the last part of its namespace is its own node."""
    *parents, _ = str(configurable.get("checkpoint_ns", "")).split("|")
    return any(NESTING_NODE.fullmatch(parent.partition(":")[0]) for parent in parents)


def _from_context(context: object, name: str) -> Any:
    return context.get(name) if isinstance(context, Mapping) else getattr(context, name, None)
