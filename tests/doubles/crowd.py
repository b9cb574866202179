"""Many users with hostile ids over one store, each with a secret word that nobody else may ever read."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from langchain_core.messages import BaseMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import GetOp, SearchItem, SearchOp

from langchain_hybrid_memory import ChromaStore, Hit, HybridMemory, RecallConfig, SummaryConfig, UnknownFactError
from tests.doubles.life import (
    AT_ONCE,
    DOORS,
    PATIENT,
    SharedStore,
    close,
    configured,
    learning_model,
    talking_model,
    watch_nothing,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from langgraph.store.base import BaseStore, Op, Result

    from langchain_hybrid_memory import Fact
    from tests.doubles.doors import Door
    from tests.doubles.scripted import ScriptedChatModel

IDS = (
    "1",
    "12",
    "A",
    "a",
    "a ",
    "alex@example.com",
    "alex.example.com",
    "alex@example",
    "../alex",
    "..",
    ".",
    "/",
    "a/messages",
    "a.messages",
    "a|messages",
    "a\x1fmessages",
    "user",
    "memory",
    "pending",
    "*",
    "%",
    "_",
    "a%",
    "a_",
    "a=2f",
    "a\x00b",
    "a\nb",
    "'; DROP TABLE item; --",
    "\u0430",  # looks like a Latin a
    "e\u0301",
    "\u00e9",
    "\u212b",  # the angstrom sign, which normalises to the next
    "\u00c5",
    "\ufeffa",
    "\ud83d",
    "x" * 1_000,
    "x" * 999 + "y",
)
"""What tells naive code apart from careful code; several meet once joined, folded, cut, normalised or matched."""
SECRET = re.compile(r"zq(\d{3})x", re.IGNORECASE)
PATIENCE = 600.0
"""Seconds; nothing may go on in the background while the crowd is compared with what it was."""
THREAD = "shared/thread"
"""Everybody's thread outside the graphs has this id, and its messages have the same ids, so all keys are the same."""

Read: TypeAlias = Callable[[int], tuple[str, tuple[Any, ...], dict[str, Any]]]


class LeakError(AssertionError):
    """Somebody got to see what is another's."""


def secret(user: int) -> str:
    """The word that only this user may read."""
    return f"Zq{user:03}x"


def secrets_in(value: object) -> set[int]:
    """Whose secrets a value holds, however deep."""
    return {int(number) for number in SECRET.findall(str(_plain(value)))}


def _plain(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Hit):
        value = replace(value, sought={})  # the question, which names another's secret, and not what was found
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def tell(messages: Sequence[BaseMessage]) -> str:
    """Answer with every secret in the prompt."""
    seen = sorted(secrets_in([message.text for message in messages]))
    return "I saw " + " ".join(map(secret, seen))


@dataclass(slots=True)
class Tally:
    """What a run has read."""

    reads: int = 0
    own: int = 0
    """Reads that brought something of the reader's own: a run in which nobody finds anything shows nothing."""
    methods: set[str] = field(default_factory=set)


class OneByOneStore(SharedStore):
    """A store that threads may share: LangGraph's own, in memory or in SQLite, cannot be used by several at once."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._turn = threading.Lock()

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        with nullcontext() if isinstance(self.store, ChromaStore) else self._turn:
            return super().batch(ops)


class LeakyStore(OneByOneStore):
    """A store that finds by key or words alone, whoever is asked about: what it answers is everybody's."""

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        asked = list(ops)
        return self._with_others(asked, super().batch([*asked, *self._wider(asked)]))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        asked = list(ops)
        return self._with_others(asked, await super().abatch([*asked, *self._wider(asked)]))

    def _wider(self, ops: Sequence[Op]) -> list[Op]:
        return [SearchOp(("memory", "user"), query=None, limit=1_000)] if _reads(ops) else []

    def _with_others(self, ops: Sequence[Op], results: list[Result]) -> list[Result]:
        if not _reads(ops):
            return results
        everything = cast("list[SearchItem]", results[len(ops)])
        return [_widened(op, result, everything) for op, result in zip(ops, results, strict=False)]


def _reads(ops: Iterable[Op]) -> bool:
    return any(isinstance(op, GetOp | SearchOp) and op_path(op)[1:2] == ("user",) for op in ops)


def op_path(op: GetOp | SearchOp) -> tuple[str, ...]:
    return op.namespace if isinstance(op, GetOp) else op.namespace_prefix


def _widened(op: Op, result: Result, everything: Sequence[SearchItem]) -> Result:
    if isinstance(op, GetOp) and result is None:
        return next((i for i in everything if i.key == op.key and i.namespace[3:] == op.namespace[3:]), None)
    if isinstance(op, SearchOp) and isinstance(result, list) and len(op.namespace_prefix) > 3 and not op.offset:
        found = cast("list[SearchItem]", result)
        return [*found, *(i for i in everything if i.namespace[3:4] == op.namespace_prefix[3:4] and i not in found)]
    return result


class Crowd:
    """Users who talk through every door and read all there is to read; nobody may ever see another's secret."""

    def __init__(self, store: BaseStore, call: Door, tally: Tally, *, ids: Sequence[str] = IDS) -> None:
        self.ids = ids
        self.call = call
        self.tally = tally
        self.chat = talking_model(replies=tell)
        self.brains = [learning_model(), learning_model(seed=1_000)]
        options: dict[str, Any] = {
            "memorize": AT_ONCE,
            "recall": RecallConfig(deadline_seconds=PATIENT.deadline_seconds, limit=50, min_relevance=1e-9),
            "summary": SummaryConfig(after_messages=4, keep_messages=1),
        }
        self.memory = HybridMemory(self.brains[0], store=store, checkpointer=InMemorySaver(), **options)
        self.worker = HybridMemory(self.brains[1], store=store, extraction="manual", **options)
        self.agents: Mapping[str, Any] = {name: make(self.memory, self.chat) for name, make in DOORS.items()}
        self.said = 0

    def check(self, user: int, result: object) -> None:
        """Count a read, and see that it holds nobody else's secret."""
        seen = secrets_in(result)
        self.tally.reads += 1
        self.tally.own += user in seen
        if seen - {user}:
            msg = f"{self.ids[user]!r} read what is {[self.ids[other] for other in sorted(seen - {user})]!r}'s"
            raise LeakError(msg)

    async def ask(self, user: int, method: str, *args: Any, **options: Any) -> Any:
        """Call a method of a user's memory and check what it returns."""
        self.tally.methods.add(method)
        try:
            result = await self.call(self.memory.for_user(self.ids[user]), method, *args, **options)
        except UnknownFactError as error:
            result = str(error)
        self.check(user, result)
        return result

    async def say(self, user: int, door: str = "graph", thread: int = 0) -> None:
        """Have a user tell the secret through a door; the answer tells which secrets the model was shown."""
        self.said += 1
        word, config = secret(user), configured(self.ids[user], f"{user} {thread}")
        text = f"I prefer {word} number {self.said}. I live in {word}. My friend Sarah works at {word} as a baker."
        result = await self.call(self.agents[door], "invoke", {"messages": [("user", text)]}, config)
        self.check(user, result["messages"][-1].text)

    async def note(self, user: int, number: int) -> None:
        """Record a message outside the graphs; its keys are everybody's."""
        words = HumanMessage(f"I prefer {secret(user)} drink {number}.", id=f"message {number}")
        await self.ask(user, "record", [words], thread_id=THREAD)

    async def learn(self) -> None:
        """Have the front and the worker learn at once."""
        await asyncio.gather(self.call(self.memory, "flush", PATIENCE), self.call(self.worker, "drain", PATIENCE))
        for brain in self.brains:
            self.check_prompts(brain)

    def check_prompts(self, brain: ScriptedChatModel) -> None:
        """See that no model call had more than one user's words."""
        for call in brain.calls:
            if len(secrets_in(call.prompt)) > 1:
                msg = f"a model call saw the words of {secrets_in(call.prompt)}"
                raise LeakError(msg)
        brain.calls.clear()

    async def read(self, user: int, other: int) -> None:
        """Read everything there is for a user, asking for another's secret by name and by id."""
        facts: list[Fact] = await self.ask(user, "facts", current_only=False)
        theirs = await self.ask(other, "facts", current_only=False)
        await self.ask(user, "facts", as_of=datetime.now(UTC))
        for query in (secret(other), f"Where does Sarah of {secret(other)} work?", "drink"):
            await self.ask(user, "recall", query)
        await self.ask(user, "entities")
        for name in ("Sarah", secret(other), secret(user)):
            await self.ask(user, "entity", name, history=True)
            await self.ask(user, "timeline", name)
        await self.ask(user, "timeline")
        for thread in (THREAD, f"{other} 0", f"{user} 0"):
            await self.ask(user, "summary", thread)
        for fact in [*facts[:2], *theirs[:2]]:
            await self.ask(user, "why", fact.id)
        await self.search(user, other)

    async def search(self, user: int, other: int) -> None:
        """Look for another's secret with what models and chains have: of one user, or of the one a run names."""
        question = f"Which drink does {secret(other)} prefer?"
        alone, config = self.memory.for_user(self.ids[user]), configured(self.ids[user], "tools")
        for tools, run in ((alone.tools(), None), (self.memory.tools(), config)):
            tool = next(tool for tool in tools if tool.name == "search_memory")
            for asked in ({"query": question}, {"query": "Sarah", "kind": "entities"}):
                self.check(user, await self.call(tool, "invoke", asked, run))
        for retriever, run in ((alone.as_retriever(), None), (self.memory.as_retriever(), config)):
            found = await self.call(retriever, "invoke", question, run)
            self.check(user, [document.page_content for document in found])

    async def use(self, user: int, name: str, **arguments: Any) -> None:
        """Have a model change something with a tool."""
        tool = next(tool for tool in self.memory.tools() if tool.name == name)
        self.check(user, await self.call(tool, "invoke", arguments, configured(self.ids[user], "tools")))

    async def read_all(self, distance: int) -> None:
        """Have everybody read everything, and ask for what is of somebody so many places away."""
        for user in range(len(self.ids)):
            await self.read(user, (user + distance) % len(self.ids))

    async def aim(self, user: int, method: str, other: int, *args: Any) -> None:
        """Point a method that changes a fact at another's fact; nothing of the other's may change."""
        await self.learn()
        before = await self.ask(other, "facts", current_only=False)
        own = {fact.id for fact in await self.ask(user, "facts", current_only=False)}
        foreign = [fact.id for fact in before if fact.id not in own]
        if foreign:
            await self.ask(user, method, foreign[0], *args)
            await self.use(user, "forget_memory", fact=foreign[0])
            await self.use(user, "save_memory", fact=f"It is {secret(user)}.", replaces=foreign[0])
            if user != other and await self.ask(other, "facts", current_only=False) != before:
                msg = f"{self.ids[user]!r} changed what is {self.ids[other]!r}'s"
                raise LeakError(msg)

    async def change(self, user: int, method: str, *args: Any) -> None:
        """Point such a method at a fact of one's own."""
        facts = await self.ask(user, "facts")
        if facts:
            await self.ask(user, method, facts[0].id, *args)

    async def keep(self, user: int) -> None:
        """Write a user's memory to a file and read it back."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "memory.jsonl"
            await self.ask(user, "export", path)
            self.check(user, path.read_text())
            await self.ask(user, "restore", path)

    async def forget(self, user: int, method: str, *args: Any) -> None:
        """Have something of a user forgotten, by keys that others have too; everybody else keeps everything."""
        await self.learn()
        kept = [other for other in range(len(self.ids)) if other != user]
        before = [await self.ask(other, "facts", current_only=False) for other in kept]
        await self.ask(user, method, *args)
        if [await self.ask(other, "facts", current_only=False) for other in kept] != before:
            msg = f"{method} of {self.ids[user]!r} changed what is somebody else's"
            raise LeakError(msg)

    async def vanish(self, user: int) -> None:
        """Have a user forgotten."""
        await self.forget(user, "forget_everything")
        assert not await self.ask(user, "facts", current_only=False)


@asynccontextmanager
async def open_crowd(
    store: BaseStore, call: Door, tally: Tally, *, ids: Sequence[str] = IDS, is_leaky: bool = False
) -> AsyncIterator[Crowd]:
    """Gather a crowd over a store and let its memories end."""
    shell = LeakyStore if is_leaky else OneByOneStore
    crowd = Crowd(shell(store, watch_nothing), call, tally, ids=ids)
    try:
        yield crowd
    finally:
        await close(crowd.memory, call.mode)
        await close(crowd.worker, call.mode)
