"""Every string can be kept by every store, and comes back as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_hybrid_memory import HybridMemory
from langchain_hybrid_memory.storable import DIGITS, MARK, as_written, storable
from tests.doubles.everywhere import Backends
from tests.doubles.life import AT_ONCE, learning_model

if TYPE_CHECKING:
    from pathlib import Path

    from tests.doubles.doors import Door, Mode

ODD = ["a\x00b", "\ud83d", MARK, "a\nb", "\u0430", f"{MARK}{DIGITS[0] * 4}"]
texts = st.text(st.characters() | st.sampled_from(["\x00", "\ud83d", "\udfff", "\n", MARK, *DIGITS]))
values = st.recursive(
    st.none() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@given(values)
def test_value_comes_back_as_it_was(value: Any) -> None:
    kept = storable(value)
    assert as_written(kept) == value
    for text in _strings(kept):
        assert "\x00" not in text
        assert text.encode("utf-8").decode("utf-8") == text


@given(texts, texts)
def test_no_two_strings_are_written_alike(one: str, other: str) -> None:
    assert (storable(one) == storable(other)) is (one == other)


def test_plain_text_is_stored_as_it_is() -> None:
    value = {"text": "Grüße 😀 \x1b[1m \u202e", "ids": ["a", "b"]}
    assert storable(value) is value
    assert as_written(value) is value


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [each for pair in value.items() for part in pair for each in _strings(part)]
    if isinstance(value, list):
        return [each for part in value for each in _strings(part)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("kind", ["sqlite without vectors", "chroma", "postgres"])
async def test_odd_ids_and_words_are_remembered_and_forgotten_over_any_store(
    kind: str, mode: Mode, call: Door, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    where, no_server = request.getfixturevalue("postgres") if kind == "postgres" else "", cast("Any", None)
    backends = Backends(mode, tmp_path, where, no_server)
    saving = "postgres" if kind == "postgres" else "sqlite"
    async with backends.store(kind) as store, backends.checkpointer(saving) as checkpointer:
        memory = HybridMemory(learning_model(), store=store, memorize=AT_ONCE, checkpointer=checkpointer)
        for odd in ODD:
            user = memory.for_user(odd)
            await call(user, "record", [{"role": "user", "content": f"I like {odd} tea.", "id": odd}], thread_id=odd)
        assert (await call(memory, "flush", 60)).pending == 0
        for odd in ODD:
            user = memory.for_user(odd)
            hits = await call(user, "recall", "tea")
            assert f"I like {odd} tea." in [hit.text for hit in hits]
            assert (await call(user, "forget_message", odd, odd)).removed["messages"] == 1
            await call(user, "record", [{"role": "user", "content": "Hi.", "id": "other"}], thread_id=f"{odd}2")
            assert (await call(user, "forget_thread", f"{odd}2")).removed["messages"] == 1
            await call(user, "forget_everything")
            assert not await call(user, "recall", "tea")
        assert not await call(store, "search", ("memory",), limit=100)
        await call(memory, "close")
