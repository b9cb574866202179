"""Law 1: nobody reads what is another's, whatever the ids look like, through any door, over any store."""

from __future__ import annotations

import asyncio
import inspect
import logging
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from langgraph.store.memory import InMemoryStore

from langchain_hybrid_memory import UserMemory, _flow, scope
from langchain_hybrid_memory.hybrid_memory import open_store
from tests.doubles.crowd import IDS, THREAD, Crowd, LeakError, Tally, open_crowd, secret
from tests.doubles.doors import Door
from tests.doubles.embedding import WordEmbedding
from tests.doubles.everywhere import STORES, Backends, skip_what_cannot_run
from tests.doubles.life import DOORS, store_in_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from pathlib import Path

    from tests.doubles.doors import Mode

logger = logging.getLogger(__name__)

EXAMPLES = {"memory": (2, 22), "chroma": (2, 10)}
"""How many lives of a crowd, by store, and how many in full."""
READS = {"memory": (3_300, 41_000), "chroma": (1_700, 9_000)}
"""In so many reads at least, in each spelling: together 10,000, and 100,000 in full."""
ROUNDS = {"memory": (1, 9), "chroma": (9,)}
"""At the end of a life everybody reads all, asking each time for what is of the neighbour so many places away."""
NOT_READS = {"append"}
"""For importers: hands back a number only, and `record` is made of it."""
users = st.integers(0, len(IDS) - 1)


class Lives(RuleBasedStateMachine):
    """Users do whatever they can in any order, and after it everybody reads everything."""

    mode: ClassVar[Mode]
    open: ClassVar[Callable[[], Any]]
    tally: ClassVar[Tally]
    ids: ClassVar[Sequence[str]] = IDS
    rounds: ClassVar[Sequence[int]] = ROUNDS["memory"]
    is_leaky: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.opened = AsyncExitStack()
        self.crowd = self.run(self.gather())

    def user(self, number: int) -> int:
        """One of those who are here."""
        return number % len(self.ids)

    def run(self, doing: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(doing)

    async def gather(self) -> Crowd:
        store = await self.opened.enter_async_context(type(self).open())
        crowd = open_crowd(store, Door(self.mode), self.tally, ids=self.ids, is_leaky=self.is_leaky)
        return await self.opened.enter_async_context(crowd)

    @initialize()
    def everybody_says_something(self) -> None:
        for user in range(len(self.ids)):
            self.run(self.crowd.note(user, 0))
        self.run(self.crowd.learn())
        self.change(0, "pin")
        self.change(0, "unpin")
        self.correct(0)
        self.reach_for_what_is_anothers(1, 0)
        self.change(0, "forget")
        self.rebuild(0)
        self.keep(0)
        self.forget_message(0, 0)
        self.forget_thread(0)
        self.vanish(0)

    @rule(user=users, door=st.sampled_from(sorted(DOORS)), thread=st.integers(0, 1))
    def say(self, user: int, door: str, thread: int) -> None:
        self.run(self.crowd.say(self.user(user), door, thread))

    @rule(user=users, number=st.integers(0, 3))
    def note(self, user: int, number: int) -> None:
        self.run(self.crowd.note(self.user(user), number))

    @rule(user=users)
    def save(self, user: int) -> None:
        self.run(self.crowd.use(self.user(user), "save_memory", fact=f"It is {secret(self.user(user))}."))

    @rule()
    def learn(self) -> None:
        self.run(self.crowd.learn())

    @rule(user=users, other=users)
    def read(self, user: int, other: int) -> None:
        self.run(self.crowd.read(self.user(user), self.user(other)))

    @rule(user=users, other=users)
    def reach_for_what_is_anothers(self, user: int, other: int) -> None:
        for method, more in {"pin": (), "unpin": (), "edit": ("Gone.",), "forget": ()}.items():
            self.run(self.crowd.aim(self.user(user), method, self.user(other), *more))

    @rule(user=users, method=st.sampled_from(["pin", "unpin", "forget"]))
    def change(self, user: int, method: str) -> None:
        self.run(self.crowd.change(self.user(user), method))

    @rule(user=users)
    def correct(self, user: int) -> None:
        self.run(self.crowd.change(self.user(user), "edit", f"{secret(self.user(user))} is right."))

    @rule(user=users)
    def keep(self, user: int) -> None:
        self.run(self.crowd.keep(self.user(user)))

    @rule(user=users, number=st.integers(0, 3))
    def forget_message(self, user: int, number: int) -> None:
        self.run(self.crowd.forget(self.user(user), "forget_message", THREAD, f"message {number}"))

    @rule(user=users)
    def forget_thread(self, user: int) -> None:
        self.run(self.crowd.forget(self.user(user), "forget_thread", THREAD))

    @rule(user=users)
    def vanish(self, user: int) -> None:
        self.run(self.crowd.vanish(self.user(user)))

    @rule(user=users)
    def rebuild(self, user: int) -> None:
        self.run(self.crowd.ask(self.user(user), "rebuild"))

    def teardown(self) -> None:
        try:
            self.run(self.crowd.learn())
            for distance in self.rounds:
                self.run(self.crowd.read_all(distance))
        finally:
            self.run(self.opened.aclose())
            self.runner.close()


def live(examples: int, mode: Mode, opening: Callable[[], Any], *, is_random: bool = False, **options: Any) -> Tally:
    """Live some lives, the same ones in every run unless `is_random`, and return what was read."""
    tally = Tally()
    machine = type("TheseLives", (Lives,), {"mode": mode, "open": staticmethod(opening), "tally": tally, **options})
    kept = settings(
        max_examples=examples,
        stateful_step_count=15,
        deadline=None,
        database=None,
        derandomize=not is_random,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=kept)
    return tally


class InMemory:
    """Opens a store in memory."""

    async def __aenter__(self) -> InMemoryStore:
        return store_in_memory(WordEmbedding())

    async def __aexit__(self, *_: object) -> None:
        pass


@pytest.fixture
def opening(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Any]:
    """How a store of a kind is opened, empty each time."""
    if kind == "memory":
        return InMemory
    return lambda: open_store(tmp_path_factory.mktemp("store"), embedding=WordEmbedding())


@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("kind", EXAMPLES)
def test_nobody_ever_reads_what_is_anothers(
    kind: str, mode: Mode, opening: Callable[[], Any], *, is_full: bool
) -> None:
    tally = live(EXAMPLES[kind][is_full], mode, opening, is_random=is_full, rounds=ROUNDS[kind])
    logger.info("%s, %s: %d reads, %d of them found something, 0 foreign", kind, mode, tally.reads, tally.own)
    assert tally.reads >= READS[kind][is_full]
    assert tally.own > tally.reads / 4
    assert methods() <= tally.methods, "a new method of UserMemory joins the crowd"


def methods() -> set[str]:
    """The public methods of a user's memory."""
    named = {name for name, _ in inspect.getmembers(UserMemory, inspect.isfunction) if not name.startswith("_")}
    return {name for name in named if f"a{name}" in named} - NOT_READS


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("kind", STORES)
async def test_turns_of_64_users_at_once_see_their_own(
    mode: Mode,
    kind: str,
    backends: Callable[[str], Backends],
    caplog: pytest.LogCaptureFixture,
    *,
    is_full: bool,
) -> None:
    if not is_full and (kind, mode) not in {("memory", "sync"), ("chroma", "async")}:
        pytest.skip("with --full")
    skip_what_cannot_run(kind)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(64))
    tally, many = Tally(), [*IDS, *(f"user {number}" for number in range(64 - len(IDS)))]
    doors, readers = (list(DOORS), 64) if is_full else (["graph"], 4)
    async with backends(kind).store(kind) as store, open_crowd(store, Door(mode), tally, ids=many) as crowd:
        for number, door in enumerate(doors):
            await asyncio.gather(*(crowd.say(user, door, number) for user in range(64)))
        await crowd.learn()
        await asyncio.gather(*(crowd.read(user, 63 - user) for user in range(readers)))
    logger.info("%s, %s: %d reads, %d of them found something, 0 foreign", kind, mode, tally.reads, tally.own)
    assert tally.own > tally.reads / 4
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.fixture
def backends(request: pytest.FixtureRequest, tmp_path: Path, mode: Mode) -> Callable[[str], Backends]:
    """Make what a kind of store needs; a server is started only for the kind that has one."""

    def make(kind: str) -> Backends:
        postgres = request.getfixturevalue("postgres") if kind == "postgres" else ""
        chroma: Any = request.getfixturevalue("chroma_client") if kind == "chroma server" else None
        return Backends(mode, tmp_path, postgres, chroma)

    return make


FEW = ("1", "12", "A", "a", "..", "a/messages")


def test_what_a_store_answers_is_checked_again(mode: Mode) -> None:
    """Over a store that answers everybody's items to whoever asks."""
    tally = live(1, mode, InMemory, ids=FEW, is_leaky=True)
    assert tally.own > tally.reads / 4


def test_store_that_mixes_users_up_is_found_out_where_nothing_checks(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A control: without the checks the same lives must fail."""
    monkeypatch.setattr(_flow, "_asked_for", lambda _, result: result)
    monkeypatch.setattr(scope.Scope, "owns", lambda *_: True)
    with pytest.raises(LeakError):
        live(1, mode, InMemory, ids=FEW, is_leaky=True)


CARELESS: Mapping[str, tuple[Callable[[str], str], tuple[str, str]]] = {
    "folded": (str.casefold, ("A", "a")),
    "cut": (lambda identifier: identifier[:999], ("x" * 1_000, "x" * 999 + "y")),
    "normalized": (partial(unicodedata.normalize, "NFC"), ("e\u0301", "\u00e9")),
    "joined": (lambda identifier: identifier.replace("/", "."), ("a/messages", "a.messages")),
    "stripped": (str.strip, ("a", "a ")),
}
"""Ways to write an id that two of the crowd share."""


@pytest.mark.parametrize("way", CARELESS)
def test_careless_namespaces_are_found_out(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A control: where two ids are written alike, the same lives must fail."""
    careless, both = CARELESS[way]
    fine = scope.encode
    assert set(both) <= set(IDS)
    monkeypatch.setattr(scope, "encode", lambda identifier: fine(careless(identifier)))
    with pytest.raises(LeakError):
        live(1, "sync", InMemory, ids=both)


async def test_no_path_on_disk_tells_of_a_user(tmp_path: Path, mode: Mode) -> None:
    named = ("pathmark", "../pathmark", "/pathmark/pathmark", "pathmark\x00", "~pathmark")
    async with (
        open_store(tmp_path / "home" / "memory", embedding=WordEmbedding()) as store,
        open_crowd(store, Door(mode), Tally(), ids=named) as crowd,
    ):
        for user in range(len(named)):
            await crowd.say(user)
        await crowd.learn()
        paths = await asyncio.to_thread(lambda: list(tmp_path.rglob("*")))
    assert not [path for path in paths if "pathmark" in path.name]
    assert {path.relative_to(tmp_path).parts[0] for path in paths} == {"home"}
