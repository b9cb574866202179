"""The test run is strict, offline and leaves the developer's home alone."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from huggingface_hub import constants
from langgraph.checkpoint.serde import _msgpack
from langsmith import utils

from tests import HOME


def test_checkpoints_are_read_strictly() -> None:
    """Fails when langgraph was imported before `tests/__init__.py` could set the variable."""
    assert _msgpack.STRICT_MSGPACK_ENABLED


def test_hub_and_tracing_are_off() -> None:
    assert constants.HF_HUB_OFFLINE
    assert not utils.tracing_is_enabled()


def test_home_is_a_temporary_directory() -> None:
    assert Path.home() == HOME
    assert Path(constants.HF_HOME).is_relative_to(HOME)
    assert "OPENAI_API_KEY" not in os.environ


@pytest.mark.filterwarnings("ignore:A test tried to use socket")
def test_sockets_reach_no_further_than_loopback() -> None:
    with socket.socket() as client, pytest.raises(RuntimeError, match="A test tried to use"):
        client.connect(("192.0.2.1", 80))
