"""How items are found by meaning and by word, and how they are scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langgraph.store.base import PutOp

from langchain_hybrid_memory.store import HybridItem, Signals, _search

if TYPE_CHECKING:
    from langchain_hybrid_memory.store import ChromaStore
    from tests.doubles.doors import Door
    from tests.doubles.embedding import WordEmbedding
    from tests.unit_tests.store.conftest import OpenStore

pytestmark = pytest.mark.parametrize("keeper", ["directory", "server"])

HOME = ("user", "alex")
WRITTEN = ("alex a", "alex b", "alex c", "kim x", "kim y", "kim z", "alex d", "alex e", "alex f")
BLIND = {"embed": DeterministicFakeEmbedding(size=32), "dims": 32, "fields": ["text"]}
"""Every text has a vector, and no vector means anything."""


async def test_hit_carries_its_signals(store: ChromaStore, call: Door) -> None:
    await call(store, "put", HOME, "k", {"text": "mountain air"})
    (hit,) = await call(store, "search", HOME, query="mountain air")
    assert isinstance(hit, HybridItem)
    assert hit.signals == Signals(cosine=1.0, keyword=1.0)
    assert hit.score == 1.0


async def test_score_is_a_fixed_mix_of_cosine_and_keyword(store: ChromaStore, call: Door) -> None:
    await call(store, "put", HOME, "k", {"text": "mountain air and more"})
    (hit,) = await call(store, "search", HOME, query="mountain boat")
    assert hit.signals is not None
    assert hit.signals.keyword == round(8 / 12, 6)
    assert 0 < hit.signals.cosine < 1
    assert hit.score == pytest.approx(0.6 * hit.signals.cosine + 0.4 * hit.signals.keyword)


async def test_item_only_a_keyword_finds_surfaces_first(open_store: OpenStore, call: Door) -> None:
    store = open_store(index=BLIND)
    await call(store, "batch", [PutOp(HOME, str(n), {"text": f"filler number {n}"}) for n in range(300)])
    await call(store, "put", HOME, "k", {"text": "the code word is xylophone"})
    hits = await call(store, "search", HOME, query="xylophone", limit=3)
    assert hits[0].key == "k"
    assert hits[0].signals.keyword == 1.0


async def test_item_only_a_keyword_finds_surfaces_first_in_a_large_scope(open_store: OpenStore, call: Door) -> None:
    store = open_store(index=BLIND, keywords=["text", "context"])
    fillers = [PutOp(HOME, str(n), {"text": f"filler number {n}"}) for n in range(2_300)]
    rare = {
        "xylophone": "the code word is xylophone",
        "Zoë": "zoe called",
        "猫": "我的猫很可爱",
        "京都": "来月、京都へ行きます",
    }
    await call(store, "batch", [PutOp(HOME, query, {"text": "yes", "context": text}) for query, text in rare.items()])
    await call(store, "batch", fillers)
    for query in rare:
        hits = await call(store, "search", HOME, query=query, limit=3)
        assert (hits[0].key, hits[0].signals.keyword) == (query, 1.0)


async def test_item_only_meaning_finds_surfaces(open_store: OpenStore, call: Door, embedding: WordEmbedding) -> None:
    index = {"embed": embedding, "dims": embedding.dimensions, "fields": ["meaning"]}
    store = open_store(index=index, keywords=["words"])
    await call(store, "batch", [PutOp(HOME, str(n), {"meaning": f"x{n}", "words": "y"}) for n in range(50)])
    await call(store, "put", HOME, "k", {"meaning": "harbor", "words": "unrelated"})
    hits = await call(store, "search", HOME, query="harbor", limit=1)
    assert [(hit.key, hit.signals) for hit in hits] == [("k", Signals(cosine=1.0, keyword=0.0))]


async def test_keyword_fields_are_found_without_being_embedded(
    open_store: OpenStore, call: Door, embedding: WordEmbedding
) -> None:
    store = open_store(keywords=["text", "context"])
    await call(store, "put", HOME, "k", {"text": "yes, in May", "context": "Are you going to Lisbon?", "secret": "pin"})
    (hit,) = await call(store, "search", HOME, query="Lisbon")
    assert hit.signals == Signals(cosine=0.0, keyword=1.0)
    assert embedding.calls == [("yes, in May",), ("Lisbon",)]
    (hit,) = await call(store, "search", HOME, query="pin")
    assert hit.signals.keyword == 0.0


async def test_dense_only_ignores_words(open_store: OpenStore, call: Door) -> None:
    store = open_store(index=BLIND, dense_only=True)
    await call(store, "put", HOME, "k", {"text": "the code word is xylophone"})
    (hit,) = await call(store, "search", HOME, query="xylophone")
    assert hit.score == hit.signals.cosine
    assert hit.signals.keyword == 0.0


@pytest.mark.parametrize(
    ("query", "key"),
    [("猫", "zh"), ("我的猫", "zh"), ("京都", "ja"), ("ซื้อ", "th"), ("zoe", "accent"), ("ZOË", "accent")],
)
async def test_every_script_is_found_by_word(open_store: OpenStore, call: Door, query: str, key: str) -> None:
    store = open_store(index=BLIND)
    texts = {"zh": "我的猫很可爱", "ja": "来月、京都へ行きます", "th": "เธอชอบไปซื้อของ", "accent": "Zoë called"}
    await call(store, "batch", [PutOp(HOME, name, {"text": text}) for name, text in texts.items()])
    hits = await call(store, "search", HOME, query=query)
    assert [hit.key for hit in hits if hit.signals.keyword > 0] == [key]


@pytest.mark.parametrize(
    "query",
    [
        '"',
        "AND OR NOT NEAR(",
        "words : text",
        "scope:x*",
        "a^b -c +d",
        "'; DROP TABLE item; --",
        "nul\x00nul",
        "😀😀",
        "\ud800",
        " \n",
        "",
        "%_*?[",
        "x" * 100_000,
        "word " * 20_000,
        "猫" * 100_000,
    ],
)
async def test_hostile_query_never_raises(store: ChromaStore, call: Door, query: str) -> None:
    await call(store, "put", HOME, "k", {"text": "plain"})
    assert [hit.key for hit in await call(store, "search", HOME, query=query)] == ["k"]


@pytest.mark.parametrize("query", ["", None, "  "])
async def test_no_query_is_a_listing_without_embedding(
    store: ChromaStore, call: Door, embedding: WordEmbedding, query: str | None
) -> None:
    await call(store, "put", HOME, "k", {"text": "a"}, index=False)
    embedding.calls.clear()
    (hit,) = await call(store, "search", HOME, query=query)
    assert (hit.score, hit.signals, embedding.calls) == (None, None, [])


async def test_unindexed_items_are_listed_after_ranked_ones(store: ChromaStore, call: Door) -> None:
    await call(store, "put", HOME, "ranked", {"text": "nothing in common"})
    await call(store, "put", HOME, "first", {"text": "apple"}, index=False)
    await call(store, "put", HOME, "second", {"text": "apple"}, index=False)
    hits = await call(store, "search", HOME, query="apple")
    assert [(hit.key, hit.score is None) for hit in hits] == [("ranked", False), ("second", True), ("first", True)]
    assert [hit.key for hit in await call(store, "search", HOME, query="apple", offset=2)] == ["first"]


async def test_ties_go_to_the_newer(store: ChromaStore, call: Door) -> None:
    await call(store, "batch", [PutOp(HOME, str(n), {"text": "apple"}) for n in range(5)])
    assert [hit.key for hit in await call(store, "search", HOME, query="apple")] == ["4", "3", "2", "1", "0"]


async def test_update_is_found_by_its_new_text_only(store: ChromaStore, call: Door) -> None:
    await call(store, "put", HOME, "k", {"text": "apple"})
    await call(store, "put", HOME, "k", {"text": "harbor"})
    (hit,) = await call(store, "search", HOME, query="harbor")
    assert hit.signals == Signals(cosine=1.0, keyword=1.0)
    (hit,) = await call(store, "search", HOME, query="apple")
    assert hit.signals == Signals(cosine=0.0, keyword=0.0)


async def test_item_put_again_without_index_is_no_longer_ranked(store: ChromaStore, call: Door) -> None:
    await call(store, "put", HOME, "k", {"text": "apple"})
    await call(store, "put", HOME, "k", {"text": "apple"}, index=False)
    (hit,) = await call(store, "search", HOME, query="apple")
    assert hit.score is None


async def test_best_field_counts(store: ChromaStore, call: Door) -> None:
    value = {"parts": [{"t": "harbor"}, {"t": "apple"}], "title": "boats", "text": "ignored"}
    await call(store, "put", HOME, "k", value, index=["parts[*].t", "title"])
    for query in ("harbor", "apple", "boats"):
        (hit,) = await call(store, "search", HOME, query=query)
        assert hit.signals == Signals(cosine=1.0, keyword=1.0)


async def test_whole_value_is_indexed_by_default(open_store: OpenStore, call: Door, embedding: WordEmbedding) -> None:
    store = open_store(index={"embed": embedding, "dims": embedding.dimensions})
    await call(store, "put", HOME, "k", {"fruit": {"name": "apple"}, "n": 2024})
    assert embedding.calls == [('{"fruit": {"name": "apple"}, "n": 2024}',)]
    for query, keyword in (("apple", 1.0), ("2024", 1.0), ("fruit", 0.0)):
        (hit,) = await call(store, "search", HOME, query=query)
        assert hit.signals.keyword == keyword


async def test_signals_do_not_move_when_unrelated_items_come_and_go(store: ChromaStore, call: Door) -> None:
    texts = ["a walk by the harbor", "harbor lights", "apples and pears", "nothing"]
    await call(store, "batch", [PutOp(HOME, text, {"text": text}) for text in texts])
    before = await call(store, "search", HOME, query="harbor walk", limit=4)
    for start in range(0, 3_000, 1_000):
        some = [PutOp(HOME, str(n), {"text": f"unrelated {n} thing"}) for n in range(start, start + 1_000)]
        await call(store, "batch", some)
    after = await call(store, "search", HOME, query="harbor walk", limit=10)
    found = {hit.key: (hit.score, hit.signals) for hit in after}
    for hit in before[:2]:
        assert found[hit.key] == (hit.score, hit.signals)
    assert [hit.key for hit in after[:2]] == [hit.key for hit in before[:2]]
    for start in range(0, 3_000, 1_000):
        await call(store, "batch", [PutOp(HOME, str(n), None) for n in range(start, start + 1_000)])
    again = await call(store, "search", HOME, query="harbor walk", limit=10)
    assert [(hit.key, hit.score, hit.signals) for hit in again] == [(hit.key, hit.score, hit.signals) for hit in before]


async def test_large_namespaces_are_searched_below_their_prefix_only(store: ChromaStore, call: Door) -> None:
    for user in ("alex", "alexander"):
        for start in range(0, 2_500, 500):
            some = [PutOp(("user", user), str(n), {"text": f"{user} number {n}"}) for n in range(start, start + 500)]
            await call(store, "batch", some)
    hits = await call(store, "search", HOME, query="alexander number 7", limit=200)
    assert {hit.namespace for hit in hits} == {HOME}
    assert len(hits) == 200
    (best,) = await call(store, "search", HOME, query="alex number 7", limit=1)
    assert (best.key, best.signals) == ("7", Signals(cosine=1.0, keyword=1.0))
    filtered = await call(store, "search", HOME, query="alex number 7", filter={"text": {"$gte": "alex"}}, limit=5)
    assert filtered[0].key == "7"
    await call(store, "delete", HOME, "7")
    assert "7" not in {hit.key for hit in await call(store, "search", HOME, query="alexander number 7", limit=200)}


async def test_words_count_the_same_whichever_way_they_are_looked_up(
    open_store: OpenStore, call: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(index=BLIND)
    texts = ["red kite", "a kite, red and blue", "blue", "Kites!", "nothing", "red"]
    await call(store, "batch", [PutOp(HOME, str(n), {"text": text}) for n, text in enumerate(texts)])
    await call(store, "put", ("user", "kim"), "k", {"text": "red kite, blue"})
    found = []
    for mentions in (0, 1_000):
        monkeypatch.setattr(_search, "MENTIONS", mentions)
        hits = await call(store, "search", HOME, query="red kites and blue ones")
        found.append([(hit.key, hit.signals) for hit in hits])
    assert found[0] == found[1]
    assert {key: signals.keyword > 0 for key, signals in found[0]} == {str(n): n != 4 for n in range(6)}


async def test_newest_of_a_large_scope_come_first_whoever_wrote_last(
    open_store: OpenStore, call: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_search, "LARGE", 2)
    monkeypatch.setattr(_search, "RECENT", 4)
    store = open_store()
    written: list[str] = []
    for user, key in (each.split() for each in WRITTEN):
        await call(store, "put", ("user", user), key, {"text": key})
        written = [key, *written] if user == "alex" else written
        for offset in range(3):
            page = await call(store, "search", HOME, limit=2, offset=offset)
            assert [hit.key for hit in page] == written[offset : offset + 2]
