"""Rebuilding shows how far it is, and says what it brought."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_hybrid_memory import HybridMemory
from langchain_hybrid_memory.cli.rebuilding import describe_rebuilt, rebuild
from langchain_hybrid_memory.cli.screen import Screen
from tests.doubles.life import SECONDS, learning_model, store_in_memory

if TYPE_CHECKING:
    import pytest


def test_rebuilding_shows_a_bar_and_says_what_it_brought(capsys: pytest.CaptureFixture[str]) -> None:
    memory = HybridMemory(learning_model(), store=store_in_memory(), extraction="manual")
    alex = memory.for_user("alex")
    alex.record([("user", "I live in Lisbon."), ("user", "I moved to Porto.")], thread_id="first")
    memory.flush(SECONDS)
    said = describe_rebuilt(rebuild(alex, Screen()))
    assert said == "learned 2 facts from 2 turns, 1 superseded, 0 confirmed, 1 model call"
    assert "2/2" in capsys.readouterr().err
