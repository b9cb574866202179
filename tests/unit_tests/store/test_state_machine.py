"""`ChromaStore` and a plain reference answer alike, whatever they are asked in whatever order.

A longer search for differences: `make test TESTS=tests/unit_tests/store/test_state_machine.py
ARGS="--hypothesis-profile=long --timeout=3600"`.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from langgraph.store.base import GetOp, ListNamespacesOp, Op, PutOp, SearchOp, TTLConfig

from langchain_hybrid_memory.store import ChromaStore, _embedded, _follower, _nearest, _search, _shards
from tests.doubles.backends import embedded
from tests.doubles.embedding import ExactEmbedding
from tests.doubles.operations import filters, filters_about, keys, labels, puts, queries, reads, refused, values
from tests.doubles.reference_store import MINUTE, ReferenceStore, Seen, seen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

START = 1_790_000_000_000_000
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
EVERYTHING = SearchOp((), limit=1_000, refresh_ttl=False)
HYBRID, DENSE = 0.4, 0.0


class StoreMachine(RuleBasedStateMachine):
    """Asks both and compares; the clock stands still until told."""

    is_exact = True
    """Whether scopes are small enough to score every item, which fixes the order of all that is found."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.patch = pytest.MonkeyPatch()
        self.directory = tempfile.TemporaryDirectory()
        self.now = START
        self.patch.setattr(_embedded, "_now", lambda: self.now)

    @initialize(
        fields=st.sampled_from([["text"], ["text", "title"], ["$"], ["tags[*]"]]),
        keywords=st.none() | st.sampled_from([["text", "meta"], ["$"], []]),
        share=st.sampled_from([HYBRID, HYBRID, DENSE]),
        omits_expired=st.booleans(),
        default_ttl=st.sampled_from([None, 2]),
    )
    def open_both(
        self,
        *,
        fields: list[str],
        keywords: list[str] | None,
        share: float,
        omits_expired: bool,
        default_ttl: float | None,
    ) -> None:
        path = Path(self.directory.name) / "memory"
        index: Any = {"embed": ExactEmbedding(), "dims": ExactEmbedding.dimensions, "fields": fields}
        ttl = TTLConfig(omit_expired=omits_expired, default_ttl=default_ttl)
        self.default_ttl = default_ttl
        self.open: Callable[[], ChromaStore] = lambda: ChromaStore.open(
            path, index=index, keywords=keywords, dense_only=share == DENSE, ttl=ttl
        )
        self.store = self.open()
        self.reference = ReferenceStore(lambda: self.now, fields, keywords, share, omits_expired)

    def ask(self, ops: Sequence[Any], *, is_async: bool = False) -> list[Any]:
        return self.runner.run(self.store.abatch(ops)) if is_async else self.store.batch(ops)

    @rule(ops=st.lists(puts | reads, max_size=6), is_async=st.booleans())
    def run_batch(self, ops: list[Op], *, is_async: bool = False) -> None:
        self.check(ops, self.ask(ops, is_async=is_async))

    @rule(ops=st.lists(puts | reads, min_size=2, max_size=6))
    def run_side_by_side(self, ops: list[Op]) -> None:
        async def run() -> list[Any]:
            return await asyncio.gather(*(self.store.abatch([op]) for op in ops))

        self.check(ops, [answer for (answer,) in self.runner.run(run())])

    def check(self, ops: list[Op], answers: list[Any]) -> None:
        """Ask the reference the same and compare."""
        expected = {position: self.reference.ranking(op) for position, op in enumerate(ops) if isinstance(op, SearchOp)}
        compared = zip(ops, self.reference.batch(ops), answers, strict=True)
        for position, (op, wanted, found) in enumerate(compared):
            if isinstance(op, SearchOp):
                self.compare(wanted, [seen(item) for item in found], expected[position])
            else:
                assert (seen(found) if isinstance(op, GetOp) and found else found) == wanted

    def compare(self, wanted: list[Seen], found: list[Seen], everything: list[Seen]) -> None:
        """Compare a page; `everything` is what it is a page of."""
        if self.is_exact:
            assert found == wanted
        else:
            assert len(set(found)) == len(wanted)
            assert set(found) <= set(everything)

    @rule(some=st.lists(puts, min_size=1, max_size=8), is_async=st.booleans())
    def write_much(self, some: list[PutOp], *, is_async: bool) -> None:
        assert self.ask(some, is_async=is_async) == self.reference.batch(some)

    @rule(label=labels, key=keys, value=values)
    def put_by_name(self, label: str, key: str, value: dict[str, Any]) -> None:
        self.reference.batch([PutOp(("a", label), key, value, ttl=self.default_ttl)])
        self.store.put(("a", label), key, value)
        item = self.store.get(("a", label), key, refresh_ttl=False)
        assert [item and seen(item)] == self.reference.batch([GetOp(("a", label), key, refresh_ttl=False)])

    @rule(ops=st.lists(puts | reads, max_size=2), refusal=refused, is_async=st.booleans())
    def refuse_batch(self, ops: list[Op], refusal: tuple[Any, type[Exception]], *, is_async: bool) -> None:
        with pytest.raises(refusal[1]):
            self.ask([*ops, refusal[0]], is_async=is_async)

    @rule(query=queries | st.just("harbor walk 猫 2024"), condition=st.none() | filters, limit=st.integers(1, 4))
    def turn_pages(self, query: str | None, condition: dict[str, Any] | None, limit: int) -> None:
        whole = EVERYTHING._replace(query=query, filter=condition)
        (expected,) = self.reference.batch([whole])
        pages = [whole._replace(limit=limit, offset=offset) for offset in range(0, len(expected) + limit, limit)]
        found = [seen(hit) for page in self.ask(pages) for hit in page]
        if self.is_exact:
            assert found == expected
        else:
            assert sorted(found, key=lambda hit: hit[:2]) == sorted(expected, key=lambda hit: hit[:2])

    @rule(data=st.data(), query=queries, depth=st.integers(0, 3))
    def search_for_what_is_there(self, data: st.DataObject, query: str | None, depth: int) -> None:
        items = self.reference.batch([EVERYTHING])[0] or [Seen((), "", "{}", NEVER, NEVER)]
        about = data.draw(st.sampled_from(items))
        value, prefix = json.loads(about.value), about.namespace[:depth]
        some = data.draw(st.lists(filters_about(value), min_size=3, max_size=8))
        filtered = [EVERYTHING._replace(filter=condition) for condition in some]
        self.run_batch([SearchOp(prefix, None, 1_000, 0, query), SearchOp(prefix, some[0], 1_000, 0, query), *filtered])

    @rule(minutes=st.sampled_from([0.1, 0.5, 1, 2, 5]))
    def wait(self, minutes: float) -> None:
        self.now += int(minutes * MINUTE)

    @rule(is_async=st.booleans())
    def sweep(self, *, is_async: bool) -> None:
        count = self.runner.run(self.store.asweep_ttl()) if is_async else self.store.sweep_ttl()
        assert count == self.reference.sweep()

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.open()
        self.reference.reopen()

    @invariant()
    def lists_agree(self) -> None:
        ops: list[Op] = [EVERYTHING, ListNamespacesOp(limit=1_000)]
        items, spaces = self.ask(ops)
        assert [[seen(item) for item in items], spaces] == self.reference.batch(ops)
        times = [item.updated_at for item in items]
        assert all(moment.utcoffset() == timedelta(0) for moment in times)
        assert len(set(times)) == len(times)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
        self.patch.undo()
        self.runner.close()
        self.directory.cleanup()


class PooledStoreMachine(StoreMachine):
    """The same where every scope counts as large, so that Chroma and the keyword index choose the candidates."""

    is_exact = False

    def __init__(self) -> None:
        super().__init__()
        self.patch.setattr(_follower, "LAG", 2)
        for module in (_search, _nearest):
            self.patch.setattr(module, "LARGE", 0)
        self.patch.setattr(_shards, "LARGE", 2)
        self.patch.setattr(_shards, "MOST", 2)
        self.patch.setattr(_search, "POOL", 2)
        self.patch.setattr(_search, "LARGEST_POOL", 4)
        self.patch.setattr(_search, "KEYWORD_ROWS", 3)

    @precondition(lambda self: hasattr(self, "store"))
    @invariant()
    def chroma_holds_what_it_was_told(self) -> None:
        backend = embedded(self.store)
        with backend._catalog.reading() as connection:
            shards = [row[0] for row in connection.execute("SELECT id FROM shard")]
            wanted = set(connection.execute("SELECT record, shard FROM vector"))
            untold = set(connection.execute("SELECT record, shard FROM pending"))
        held = {(record, shard) for shard in shards for record in backend._follower._vectors.ids(shard)}
        assert held ^ wanted <= untold
        assert len(untold) <= _follower.LAG


BOUNDED = settings(
    max_examples=settings().max_examples // 4,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
StoreMachine.TestCase.settings = PooledStoreMachine.TestCase.settings = BOUNDED
TestSmallScopes, TestLargeScopes = StoreMachine.TestCase, PooledStoreMachine.TestCase
