"""A chain finds what its user said, as documents."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_tests.integration_tests import RetrieversIntegrationTests

from langchain_hybrid_memory import HybridMemory, MissingUserError
from langchain_hybrid_memory.retriever import MemoryRetriever
from tests.doubles.life import configured, learning_model, store_in_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.documents import Document

    from langchain_hybrid_memory.steps.find import HitKind
    from tests.doubles.doors import Door

DAY = datetime(2026, 5, 4, 9, tzinfo=UTC)
TOLD = ("I live in Lisbon.", "I prefer tea.", "My friend Sarah works at Google as a baker.")
ASKED = "Where do I live?"


def told(*texts: str, user: str = "alex") -> HybridMemory:
    memory = HybridMemory(learning_model(), store=store_in_memory())
    memory.for_user(user).record([("user", text) for text in texts], thread_id="t1", at=DAY)
    memory.flush()
    return memory


@pytest.fixture
def memory() -> HybridMemory:
    return told(*TOLD)


class TestMemoryRetriever(RetrieversIntegrationTests):
    @property
    def retriever_constructor(self) -> type[MemoryRetriever]:
        return MemoryRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"core": told(*TOLD)._core, "user_id": "alex"}

    @property
    def retriever_query_example(self) -> str:
        return "Do I live in Lisbon, prefer tea, and does my friend Sarah work at Google?"

    @property
    def num_results_arg_name(self) -> str:
        return "limit"


def texts(documents: Sequence[Document]) -> list[str]:
    return [document.page_content for document in documents]


@pytest.mark.parametrize("kind", ["facts", "messages"])
async def test_document_says_what_it_is(call: Door, memory: HybridMemory, kind: HitKind) -> None:
    retriever = memory.as_retriever(limit=2, kinds=(kind,))
    found = await call(retriever, "invoke", ASKED, configured("alex", None))
    assert len(found) == 2
    assert found[0].metadata["score"] >= found[1].metadata["score"] > 0
    (shown,) = [document for document in found if "Lisbon" in document.page_content]
    ids = [fact.id for fact in memory.for_user("alex").facts() if fact.value == "Lisbon"]
    assert (shown.metadata["id"] in ids) == (kind == "facts")
    assert shown.id == shown.metadata["id"]
    assert {name: shown.metadata[name] for name in ("kind", "thread", "date", "source")} == {
        "kind": kind.removesuffix("s"),
        "thread": "t1",
        "date": DAY.isoformat(),
        "source": "user",
    }


async def test_user_comes_from_the_run(call: Door, memory: HybridMemory) -> None:
    retriever = memory.as_retriever()
    assert await call(retriever, "invoke", ASKED, configured("bea", None)) == []
    assert await call(retriever, "invoke", ASKED, configured("alex", None))
    with pytest.raises(MissingUserError):
        await call(retriever, "invoke", ASKED)


async def test_bound_retriever_needs_no_config_and_keeps_its_user(call: Door, memory: HybridMemory) -> None:
    bound = memory.for_user("alex").as_retriever(limit=1)
    assert "Lisbon" in texts(await call(bound, "invoke", ASKED))[0]
    assert "Lisbon" in texts(await call(bound, "invoke", ASKED, configured("bea", None)))[0]


async def test_retriever_works_inside_a_chain(call: Door, memory: HybridMemory) -> None:
    prompt = ChatPromptTemplate.from_template("Known: {known}\nQuestion: {asked}")
    joined = memory.as_retriever(limit=1) | RunnableLambda(lambda found: "; ".join(texts(found)))
    chain = {"known": joined, "asked": RunnablePassthrough()} | prompt
    value = await call(chain, "invoke", ASKED, configured("alex", None))
    assert "Lisbon" in value.to_string()


async def test_memory_switched_off_finds_nothing(call: Door, memory: HybridMemory) -> None:
    bound = memory.for_user("alex").as_retriever()
    assert await call(bound, "invoke", ASKED, configured(None, None, memory="off")) == []
    assert await call(bound, "invoke", ASKED, configured(None, None, memory="read"))


def test_limit_that_cannot_be_is_refused(memory: HybridMemory) -> None:
    with pytest.raises(ValueError, match="limit"):
        memory.as_retriever(limit=0)
