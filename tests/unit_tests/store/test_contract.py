"""What LangGraph expects of any store."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from langgraph.store.base import (
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)

from langchain_hybrid_memory.errors import FilterError, StorageError

if TYPE_CHECKING:
    from langchain_hybrid_memory.store import ChromaStore
    from tests.doubles.doors import Door
    from tests.unit_tests.store.conftest import OpenStore

pytestmark = pytest.mark.parametrize("keeper", ["directory", "server"])

HOME = ("user", "alex")
HOSTILE = [
    "a_b",
    "a%b",
    "a*b",
    "a?b",
    "a[b",
    "a]b",
    "a\nb",
    "a/b",
    "A",
    "é",
    "猫",
    "😀",
    "' OR 1=1",
    '"',
    "\\",
    "\x01",
    "\x02",
]


async def test_item_comes_back(store: ChromaStore, call: Door) -> None:
    await call(store, "put", HOME, "k", {"text": "hello", "n": [1, {"a": None}]})
    item = await call(store, "get", HOME, "k")
    assert (item.namespace, item.key, item.value) == (HOME, "k", {"text": "hello", "n": [1, {"a": None}]})
    assert item.created_at == item.updated_at
    assert item.created_at.utcoffset() == timedelta(0)


async def test_item_survives_reopening(open_store: OpenStore, call: Door) -> None:
    with open_store() as store:
        await call(store, "put", HOME, "k", {"text": "hello"})
    item = await call(open_store(), "get", HOME, "k")
    assert item.value == {"text": "hello"}


async def test_results_are_in_order_of_the_operations(store: ChromaStore, call: Door) -> None:
    await call(store, "put", HOME, "k", {"text": "hello"})
    results = await call(
        store,
        "batch",
        [ListNamespacesOp(), PutOp(HOME, "z", {"text": "z"}), GetOp(HOME, "k"), GetOp(HOME, "nope"), SearchOp(HOME)],
    )
    assert results[0] == [HOME]
    assert results[1] is None
    assert results[2].key == "k"
    assert results[3] is None
    assert [hit.key for hit in results[4]] == ["k"]


async def test_reads_see_the_state_before_the_writes_of_their_batch(store: ChromaStore, call: Door) -> None:
    await call(store, "put", HOME, "k", {"text": "old"})
    before = await call(
        store, "batch", [PutOp(HOME, "k", {"text": "new"}), GetOp(HOME, "k"), SearchOp(HOME, query="old")]
    )
    assert before[1].value == {"text": "old"}
    assert before[2][0].value == {"text": "old"}
    assert (await call(store, "get", HOME, "k")).value == {"text": "new"}


async def test_last_write_of_a_batch_wins(store: ChromaStore, call: Door) -> None:
    await call(
        store, "batch", [PutOp(HOME, "k", {"text": "1"}), PutOp(HOME, "k", None), PutOp(HOME, "k", {"text": "2"})]
    )
    assert (await call(store, "get", HOME, "k")).value == {"text": "2"}
    await call(store, "batch", [PutOp(HOME, "k", {"text": "3"}), PutOp(HOME, "k", None)])
    assert await call(store, "get", HOME, "k") is None


async def test_batch_with_one_bad_write_writes_nothing(store: ChromaStore, call: Door) -> None:
    with pytest.raises(TypeError):
        await call(store, "batch", [PutOp(HOME, "a", {"text": "a"}), PutOp(HOME, "b", {"text": {1, 2}})])
    assert await call(store, "search", ()) == []


async def test_returned_item_is_not_the_stored_one(store: ChromaStore, call: Door) -> None:
    value = {"text": "hello", "tags": ["a"]}
    await call(store, "put", HOME, "k", value)
    value["tags"] = []
    item = await call(store, "get", HOME, "k")
    item.value["tags"].append("b")
    assert (await call(store, "get", HOME, "k")).value["tags"] == ["a"]


async def test_update_keeps_created_at_and_times_strictly_increase(store: ChromaStore, call: Door) -> None:
    await call(store, "batch", [PutOp(HOME, str(number), {"n": number}) for number in range(50)])
    items = [await call(store, "get", HOME, str(number)) for number in range(50)]
    assert len({item.updated_at for item in items}) == 50
    assert sorted(items, key=lambda item: item.updated_at) == items
    await call(store, "put", HOME, "0", {"n": 100})
    updated = await call(store, "get", HOME, "0")
    assert updated.created_at == items[0].created_at
    assert updated.updated_at > items[-1].updated_at


async def test_delete_is_complete(store: ChromaStore, call: Door) -> None:
    await call(store, "put", HOME, "k", {"text": "hello world"})
    await call(store, "delete", HOME, "k")
    await call(store, "delete", HOME, "never there")
    assert await call(store, "get", HOME, "k") is None
    assert await call(store, "search", (), query="hello world") == []
    assert await call(store, "list_namespaces") == []


async def test_listing_is_newest_first_and_pages_are_disjoint_and_complete(store: ChromaStore, call: Door) -> None:
    await call(store, "batch", [PutOp((*HOME, str(n % 3)), str(n), {"n": n}) for n in range(25)])
    await call(store, "put", (*HOME, "0"), "0", {"n": 0})
    pages = [await call(store, "search", HOME, limit=10, offset=offset) for offset in (0, 10, 20, 30)]
    keys = [hit.key for page in pages for hit in page]
    assert keys == ["0", *(str(n) for n in range(24, 0, -1))]
    assert all(hit.score is None for page in pages for hit in page)


async def test_ranked_pages_are_disjoint_and_complete(store: ChromaStore, call: Door) -> None:
    texts = [f"{'apple' if n % 2 else 'pear'} {n % 5}" for n in range(150)]
    await call(store, "batch", [PutOp(HOME, str(n), {"text": text}, index=None) for n, text in enumerate(texts)])
    await call(store, "batch", [PutOp(HOME, f"plain {n}", {"text": "apple"}, index=False) for n in range(7)])
    pages = [await call(store, "search", HOME, query="apple 3", limit=20, offset=20 * page) for page in range(9)]
    keys = [hit.key for page in pages for hit in page]
    assert len(keys) == len(set(keys)) == 157
    scores = [hit.score for page in pages for hit in page]
    assert scores[:150] == sorted(scores[:150], reverse=True)
    assert scores[150:] == [None] * 7


@pytest.mark.parametrize("label", HOSTILE)
async def test_prefix_matches_whole_labels_literally(store: ChromaStore, call: Door, label: str) -> None:
    others = [label + "x", label.swapcase() + "y", "axb", "aXb", "b"]
    await call(store, "batch", [PutOp(("r", other), "k", {"text": "no"}) for other in others])
    await call(
        store, "batch", [PutOp(("r", label), "k", {"text": "yes"}), PutOp(("r", label, "sub"), "k", {"text": "yes"})]
    )
    for query in (None, "yes"):
        hits = await call(store, "search", ("r", label), query=query)
        assert sorted(hit.namespace for hit in hits) == [("r", label), ("r", label, "sub")]
    assert await call(store, "list_namespaces", prefix=("r", label)) == [("r", label), ("r", label, "sub")]


async def test_namespaces_with_separators_never_collide(store: ChromaStore, call: Door) -> None:
    namespaces = [("a", "b"), ("a/b",), ("a\x01b",), ("a\x01", "b"), ('a","b',), ("a\x02b",), ("ab",), ()]
    await call(store, "batch", [PutOp(space, "k", {"n": n}) for n, space in enumerate(namespaces)])
    items = await call(store, "batch", [GetOp(space, "k") for space in namespaces])
    assert [(item.namespace, item.value["n"]) for item in items] == [(s, n) for n, s in enumerate(namespaces)]


async def test_prefix_may_be_a_list(store: ChromaStore, call: Door) -> None:
    await call(store, "put", HOME, "k", {"text": "hello"})
    assert len((await call(store, "batch", [SearchOp(["user"])]))[0]) == 1  # type: ignore[arg-type] # a list, as people do


@pytest.mark.parametrize("namespace", [(), ("a.b",), ("",), ("langgraph", "x")])
async def test_put_refuses_bad_namespaces(store: ChromaStore, call: Door, namespace: tuple[str, ...]) -> None:
    with pytest.raises(InvalidNamespaceError):
        await call(store, "put", namespace, "k", {})


@pytest.mark.parametrize("namespace", [("a.b",), ("",), ("a", "", "b"), ("a\x00b",), ("a", 7)])
async def test_batch_refuses_labels_that_get_and_delete_refuse(
    store: ChromaStore, call: Door, namespace: tuple[str, ...]
) -> None:
    reads = [GetOp(namespace, "k"), SearchOp(namespace), ListNamespacesOp((MatchCondition("prefix", namespace),))]
    for op in (PutOp(namespace, "k", {}), *reads):
        with pytest.raises(InvalidNamespaceError):
            await call(store, "batch", [PutOp(HOME, "k", {}), op])
    assert await call(store, "search", ()) == []


async def test_unknown_match_type_is_refused(store: ChromaStore, call: Door) -> None:
    condition = MatchCondition("infix", ("user",))  # type: ignore[arg-type] # what is tested
    with pytest.raises(ValueError, match=r"infix.*prefix or suffix"):
        await call(store, "batch", [PutOp(HOME, "k", {}), ListNamespacesOp((condition,))])
    assert await call(store, "get", HOME, "k") is None


async def test_last_of_several_writes_to_a_key_decides_its_place(store: ChromaStore, call: Door) -> None:
    await call(store, "batch", [PutOp(HOME, key, {"n": n}) for n, key in enumerate("aba")])
    assert [(item.key, item.value) for item in await call(store, "search", HOME)] == [("a", {"n": 2}), ("b", {"n": 1})]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [("a",), ("a", "b", "c"), ("a", "b", "d"), ("x", "b", "d")]),
        ({"prefix": ("a",)}, [("a",), ("a", "b", "c"), ("a", "b", "d")]),
        ({"prefix": ("*", "b")}, [("a", "b", "c"), ("a", "b", "d"), ("x", "b", "d")]),
        ({"suffix": ("b", "d")}, [("a", "b", "d"), ("x", "b", "d")]),
        ({"suffix": ("*", "c"), "prefix": ("a", "*")}, [("a", "b", "c")]),
        ({"prefix": ("a", "b", "c", "d")}, []),
        ({"max_depth": 2}, [("a",), ("a", "b"), ("x", "b")]),
        ({"max_depth": 1, "limit": 1, "offset": 1}, [("x",)]),
        ({"limit": 2}, [("a",), ("a", "b", "c")]),
        ({"offset": 3}, [("x", "b", "d")]),
    ],
)
async def test_namespaces_are_listed(
    store: ChromaStore, call: Door, options: dict[str, Any], expected: list[tuple[str, ...]]
) -> None:
    spaces = [("x", "b", "d"), ("a", "b", "d"), ("a", "b", "c"), ("a",), ("gone",)]
    await call(store, "batch", [PutOp(space, "k", {}) for space in spaces])
    await call(store, "delete", ("gone",), "k")
    assert await call(store, "list_namespaces", **options) == expected


async def test_namespace_condition_may_hold_lists(store: ChromaStore, call: Door) -> None:
    await call(store, "put", HOME, "k", {})
    condition = MatchCondition("suffix", ["alex"])  # type: ignore[arg-type] # a list, as JSON brings it
    assert (await call(store, "batch", [ListNamespacesOp(match_conditions=(condition,))]))[0] == [HOME]


async def test_filter_is_applied_before_the_best_are_chosen(store: ChromaStore, call: Door) -> None:
    puts = [PutOp(HOME, str(n), {"text": "the very same apple", "n": n}) for n in range(300)]
    await call(store, "batch", [*puts, PutOp(HOME, "odd", {"text": "something else", "n": -1})])
    hits = await call(store, "search", HOME, query="apple", filter={"n": {"$lt": 0}}, limit=1)
    assert [hit.key for hit in hits] == ["odd"]
    assert [hit.key for hit in await call(store, "search", HOME, filter={"n": 7})] == ["7"]


async def test_filter_sees_values_that_sqlite_cannot_read(store: ChromaStore, call: Door) -> None:
    await call(store, "put", HOME, "inf", {"n": float("inf"), "s": "a\x00b"}, index=False)
    await call(store, "put", HOME, "one", {"n": 1, "s": "a"}, index=False)
    assert [hit.key for hit in await call(store, "search", HOME, filter={"n": {"$gt": 5}})] == ["inf"]
    assert [hit.key for hit in await call(store, "search", HOME, filter={"s": "a\x00b"})] == ["inf"]
    assert [hit.key for hit in await call(store, "search", HOME, filter={"s": "a"})] == ["one"]


async def test_unknown_filter_operator_is_refused_before_anything_is_written(store: ChromaStore, call: Door) -> None:
    with pytest.raises(FilterError, match=r"\$in"):
        await call(store, "batch", [PutOp(HOME, "k", {}), SearchOp(HOME, filter={"n": {"$in": [1]}})])
    assert await call(store, "get", HOME, "k") is None


async def test_hostile_filter_keys_are_only_keys(store: ChromaStore, call: Door) -> None:
    await call(store, "put", HOME, "k", {"a": 1})
    for name in HOSTILE:
        assert await call(store, "search", HOME, filter={name: 1}) == []


async def test_hostile_keys_and_values_come_back(store: ChromaStore, call: Door) -> None:
    keys = [*HOSTILE, "", "\x00", "\ud800", "x" * 10_000]
    await call(store, "batch", [PutOp(HOME, key, {"text": key, key: key}) for key in keys])
    items = await call(store, "batch", [GetOp(HOME, key) for key in keys])
    assert [(item.key, item.value["text"]) for item in items] == [(key, key) for key in keys]


async def test_unknown_operation_is_refused(store: ChromaStore, call: Door) -> None:
    with pytest.raises(ValueError, match="unknown operation"):
        await call(store, "batch", ["put"])


async def test_sync_calls_work_inside_a_running_loop(store: ChromaStore) -> None:
    store.put(HOME, "k", {"text": "hello"})
    assert [hit.key for hit in store.search(HOME, query="hello")] == ["k"]


async def test_async_and_sync_batches_run_side_by_side(store: ChromaStore) -> None:
    def write_here(start: int) -> None:
        for number in range(start, start + 20):
            store.put(HOME, str(number), {"text": f"fact {number}"})

    async def write_there(number: int) -> None:
        await store.aput(HOME, str(number), {"text": f"fact {number}"})
        await store.asearch(HOME, query=f"fact {number}")

    await asyncio.gather(
        asyncio.to_thread(write_here, 0), asyncio.to_thread(write_here, 20), *(write_there(n) for n in range(40, 60))
    )
    assert len(await store.asearch(HOME, query="fact", limit=100)) == 60


async def test_closed_store_is_refused_and_closing_twice_is_fine(store: ChromaStore, call: Door) -> None:
    store.close()
    store.close()
    with pytest.raises(StorageError, match="closed"):
        await call(store, "get", HOME, "k")


async def test_async_with_closes(open_store: OpenStore) -> None:
    async with open_store() as store:
        await store.aput(HOME, "k", {})
    with pytest.raises(StorageError, match="closed"):
        await store.aget(HOME, "k")
