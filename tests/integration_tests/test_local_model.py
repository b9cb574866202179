"""The embedded model itself: runs where its package is installed and HYBRID_MEMORY_TEST_GGUF names its file."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from openai import LengthFinishReasonError
from pydantic import BaseModel, Field

from langchain_hybrid_memory.cli.local_model import LocalChatModel, create_local_model

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("xllamacpp", reason="the extra `local` is not installed")
GGUF = Path(os.environ.get("HYBRID_MEMORY_TEST_GGUF", ""))
pytestmark = pytest.mark.skipif(
    not GGUF.is_file(), reason="tests download no model: HYBRID_MEMORY_TEST_GGUF can name a file that is here"
)

STREAM = """
import sys
from pathlib import Path
from langchain_hybrid_memory.cli.local_model import create_local_model
for chunk in create_local_model(weights=Path(sys.argv[1])).stream("Tell me a long story."):
    print(chunk.content, end="", flush=True)
    if chunk.content:
        break
"""


class Person(BaseModel):
    """Who is speaking."""

    name: str = Field(description="First name.")
    city: str = Field(description="Where the person lives.")


@pytest.fixture(scope="module")
def model() -> Iterator[LocalChatModel]:
    with create_local_model(weights=GGUF) as served:
        yield served


def test_reply_is_streamed_with_usage(model: LocalChatModel) -> None:
    chunks = list(model.stream("Say hello."))
    assert len([chunk for chunk in chunks if chunk.content]) > 1
    assert sum(chunk.usage_metadata["output_tokens"] for chunk in chunks if chunk.usage_metadata) > 0


async def test_structured_answer_is_parsed(model: LocalChatModel) -> None:
    asked = model.with_structured_output(Person, method="json_schema", include_raw=True)
    answer = cast("dict[str, Any]", await asked.ainvoke("I'm Alex and I live in Lisbon."))
    assert answer["parsed"] == Person(name="Alex", city="Lisbon")
    assert answer["parsing_error"] is None
    assert answer["raw"].usage_metadata["output_tokens"] > 0


def test_answer_that_is_cut_off_raises(model: LocalChatModel) -> None:
    short = model.model_copy(update={"max_tokens": 4})
    with pytest.raises(LengthFinishReasonError):
        short.with_structured_output(Person, method="json_schema", include_raw=True).invoke("I'm Alex from Lisbon.")


def test_two_kinds_of_prompt_do_not_push_each_other_out(model: LocalChatModel) -> None:
    reply, extract = "You are kind and answer briefly. " * 12, "List the facts in the numbered messages. " * 12
    for system in (reply, extract):
        model.invoke([("system", system), ("human", "one")])
    for system in (reply, extract):
        usage = model.invoke([("system", system), ("human", "two")]).usage_metadata
        assert usage is not None
        assert usage["input_token_details"]["cache_read"] > 60


def test_process_ends_soon_after_its_last_line() -> None:
    process = subprocess.Popen(  # noqa: S603 - this file's own code
        [sys.executable, "-c", STREAM, str(GGUF)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.read(1)
        begun = time.monotonic()
        assert process.wait(timeout=30) == 0
    assert time.monotonic() - begun < 5  # under one second on an idle machine
