"""Two users never share a namespace, whatever their ids look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, StateGraph
from langgraph.store.memory import InMemoryStore
from typing_extensions import TypedDict

from langchain_hybrid_memory.errors import ConfigurationError, MissingUserError
from langchain_hybrid_memory.scope import KINDS, Scope, current_scope, encode, pending_root

if TYPE_CHECKING:
    from tests.doubles.doors import Door

HOSTILE = [
    "alex",
    "Alex",
    "alex@example.com",
    "alex.example.com",
    "alex/../sam",
    "a%b",
    "a_b",
    "a*b",
    "a b",
    " a b",
    "a\nb",
    "a\x00b",
    "=61",
    "=",
    "a=",
    "é",
    "e\u0301",
    "猫",
    "😀",
    "\ud83d\ude00",
    "\ud83d",
    "x" * 1_000,
    "X" * 1_000,
    "😀" * 1_000,
    "langgraph",
    ".",
    "..",
]
characters = st.characters(codec=None, exclude_categories=())
identifiers = st.one_of(
    st.text(characters, min_size=1, max_size=40),
    st.text("aA.=/%_*\x00\n6e\ud83d\ude00", min_size=1),
    st.sampled_from(HOSTILE),
)


def decode(segment: str) -> str:
    """Undo `encode`, which shows that it loses nothing."""
    if segment == "=":
        return ""
    head, *rest = segment.split("=")
    raw = head.encode() + b"".join(bytes.fromhex(part[:2]) + part[2:].encode() for part in rest)
    return raw.decode("utf-8", "surrogatepass")


@settings(max_examples=500, deadline=None)
@given(identifiers)
@example("")
@example("\ud83d\ude00")
def test_encoding_can_be_undone_so_no_two_ids_share_one(identifier: str) -> None:
    assert decode(encode(identifier)) == identifier


def test_hostile_ids_have_homes_of_their_own() -> None:
    homes = {Scope(user_id=identifier).home for identifier in HOSTILE}
    folded = {tuple(segment.casefold() for segment in home) for home in homes}
    assert len(homes) == len(folded) == len(HOSTILE)


@settings(max_examples=200, deadline=None)
@given(identifiers, identifiers)
def test_any_id_makes_namespaces_that_langgraph_accepts(user_id: str, thread_id: str) -> None:
    store = InMemoryStore()
    scope = Scope(user_id=user_id, thread_id=thread_id)
    places = [*map(scope.namespace, KINDS), scope.thread_messages(thread_id), scope.pending]
    for place in places:
        store.put(place, "key", {"text": "words"})
        assert not {character for segment in place for character in segment} & set(".%_*/\x00\n ")
    assert len(store.search(scope.home, limit=100)) == len(places) - 1


@settings(max_examples=300, deadline=None)
@given(identifiers, identifiers)
def test_scope_owns_its_namespaces_and_nobody_elses(mine: str, theirs: str) -> None:
    scope, other = Scope(user_id=mine), Scope(user_id=theirs)
    for kind in KINDS:
        assert scope.owns(scope.namespace(kind))
        assert scope.owns(other.namespace(kind)) == (mine == theirs)


@pytest.mark.parametrize(
    "namespace",
    [
        (),
        ("memory",),
        ("memory", "user"),
        ("memory", "user", "alexandra", "facts"),
        ("memory", "user", "ale", "facts"),
        ("memory", "team", "alex", "facts"),
        ("other", "user", "alex", "facts"),
        ("memory", "pending", "alex"),
    ],
)
def test_scope_refuses_siblings_and_parents(namespace: tuple[str, ...]) -> None:
    assert not Scope(user_id="alex").owns(namespace)


def test_threads_of_one_user_do_not_share_a_namespace() -> None:
    scope = Scope(user_id="alex")
    assert len({scope.thread_messages(thread) for thread in ("", "=", "t", "T", "t/1", "t.1")}) == 6


def test_queue_lies_outside_every_home_and_roots_are_apart() -> None:
    scope = Scope(user_id="alex", root="app")
    assert scope.pending[: len(pending_root("app"))] == pending_root("app")
    assert not scope.owns(scope.pending)
    assert scope.home[0] == "app"


@pytest.mark.parametrize("nobody", ["", None, 0, 42, b"alex", ["alex"]])
def test_nobody_has_no_memory(nobody: Any) -> None:
    with pytest.raises(MissingUserError, match="user_id"):
        Scope(user_id=nobody)


@dataclass(frozen=True)
class Context:
    """A run's context, as an application declares it."""

    user_id: str | None = None
    memory: str | None = None


class Nothing(TypedDict, total=False):
    """A state without interest."""

    seen: str


class Seen:
    """A small graph whose one node notes the scope it runs in."""

    def __init__(self) -> None:
        self.scopes: list[Scope | None] = []
        builder = StateGraph(Nothing, context_schema=Context)
        builder.add_node("note", RunnableLambda(self._note, self._anote, name="note"))
        builder.add_edge(START, "note")
        builder.add_edge("note", END)
        self.graph = builder.compile()

    def _note(self, _: Nothing) -> Nothing:
        self.scopes.append(current_scope("memory"))
        return {}

    async def _anote(self, state: Nothing) -> Nothing:
        return self._note(state)

    async def __call__(self, call: Door, configurable: dict[str, Any], context: Any = None) -> Scope | None:
        await call(self.graph, "invoke", {}, {"configurable": configurable}, context=context)
        return self.scopes[-1]


@pytest.mark.parametrize(
    ("context", "configurable", "expected"),
    [
        (Context("context"), {"user_id": "configured", "langgraph_user_id": "server"}, "context"),
        ({"user_id": "context"}, {"user_id": "configured"}, "context"),
        (Context(None), {"user_id": "configured", "langgraph_user_id": "server"}, "configured"),
        (None, {"user_id": "configured", "langgraph_user_id": "server"}, "configured"),
        (None, {"langgraph_user_id": "server"}, "server"),
        (None, {"user_id": "", "langgraph_user_id": "server"}, "server"),
    ],
)
async def test_user_comes_from_context_before_configuration_before_server(
    call: Door, context: Any, configurable: dict[str, Any], expected: str
) -> None:
    scope = await Seen()(call, configurable, context)
    assert scope is not None
    assert scope.user_id == expected


@pytest.mark.parametrize("configurable", [{}, {"user_id": ""}, {"user_id": None}, {"thread_id": "t1"}, {"user_id": 7}])
async def test_run_without_a_user_is_refused(call: Door, configurable: dict[str, Any]) -> None:
    with pytest.raises(MissingUserError):
        await Seen()(call, configurable)


async def test_thread_is_named_by_the_run(call: Door) -> None:
    assert await Seen()(call, {"user_id": "alex", "thread_id": 7}) == Scope(user_id="alex", thread_id="7")
    assert await Seen()(call, {"user_id": "alex"}) == Scope(user_id="alex", thread_id="")


@pytest.mark.parametrize(
    ("context", "switch", "is_read_only"),
    [(None, "on", False), (None, "read", True), (Context(memory="read"), "on", True), (Context(), "read", True)],
)
async def test_switch_makes_a_turn_read_only(call: Door, context: Any, switch: str, *, is_read_only: bool) -> None:
    scope = await Seen()(call, {"user_id": "alex", "memory": switch}, context)
    assert scope is not None
    assert scope.is_read_only == is_read_only


async def test_memory_switched_off_has_no_scope_and_needs_no_user(call: Door) -> None:
    assert await Seen()(call, {"memory": "off"}) is None
    assert await Seen()(call, {"user_id": "alex"}, Context(memory="off")) is None


@pytest.mark.parametrize("switch", ["", "no", False, None, "ON"])
async def test_unknown_switch_is_refused(call: Door, switch: Any) -> None:
    with pytest.raises(ConfigurationError, match='"on", "read" or "off"'):
        await Seen()(call, {"user_id": "alex", "memory": switch})
