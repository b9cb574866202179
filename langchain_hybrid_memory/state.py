"""The channels a checkpoint holds: the user's messages and what memory keeps about this thread."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from langchain.agents.middleware.types import AgentState, PrivateStateAttr
from langchain_core.messages import AnyMessage, RemoveMessage
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict


class ThreadSummary(TypedDict):
    """The digest of the messages up to and including `through_id`."""

    text: str
    through_id: str
    owner: NotRequired[str]
    """Fingerprint of the user it was made for: in a thread of several users it is nobody else's."""


class Recalled(TypedDict):
    """What one turn brought back; it counts only for the message whose id and digest it names."""

    message_id: str
    digest: str
    keys: list[str]
    text: str
    degraded: NotRequired[str]
    """Why long-term memory could not be asked in this turn; absent where it could."""


class Pinned(TypedDict):
    """The facts that stand in every prompt of this user."""

    keys: list[str]
    text: str
    owner: NotRequired[str]
    """Fingerprint of the user they are of."""


class Branch(TypedDict):
    """Where this branch of the thread stands in the log; goes back in time with the checkpoint."""

    tip: str
    """Id of the last message of it that is in the log."""
    position: int
    """The position of that message, which later ones count from, whatever was pruned meanwhile."""
    digest: str
    """Of what was said up to there: tells that a message was edited under its id."""


class MemoryUpdate(TypedDict, total=False):
    """What a step changes in the state."""

    messages: list[RemoveMessage]
    """Only where pruning is on."""
    recorded_through: str
    skipped_through: str
    branch: Branch
    summary: ThreadSummary | None
    recalled: Recalled | None
    pinned: Pinned | None


class MemoryChannels(TypedDict):
    """What memory keeps about a thread; private: absent from a graph's input and output."""

    recorded_through: NotRequired[Annotated[str, PrivateStateAttr]]
    """Id of the last message that is in the log, or was passed over."""
    skipped_through: NotRequired[Annotated[str, PrivateStateAttr]]
    """Id of the last message of a turn that had to leave no trace."""
    branch: NotRequired[Annotated[Branch, PrivateStateAttr]]
    summary: NotRequired[Annotated[ThreadSummary | None, PrivateStateAttr]]
    recalled: NotRequired[Annotated[Recalled | None, PrivateStateAttr]]
    pinned: NotRequired[Annotated[Pinned | None, PrivateStateAttr]]


class MemoryState(MemoryChannels):
    """State of a graph with memory."""

    messages: Annotated[list[AnyMessage], add_messages]


class MemoryAgentState(AgentState[Any], MemoryChannels):
    """State of an agent of `create_agent` with memory."""
