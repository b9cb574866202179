"""Links a memorize run to the turns that asked for it: by thread and run, in the metadata of its trace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langgraph.config import get_config
from langgraph.runtime import get_runtime


class Origin(NamedTuple):
    """The run of a turn."""

    thread_id: str
    run_id: str
    """What the caller or the server named the run or, where it has no such name, the traced run of the step."""


def current_origin() -> Origin | None:
    """The run this is called in; `None` outside of one."""
    try:
        config = get_config()
    except RuntimeError:  # there is no run
        return None
    runtime, manager = get_runtime(), config.get("callbacks")
    info = runtime.execution_info if runtime else None
    traced = manager.parent_run_id if isinstance(manager, CallbackManager | AsyncCallbackManager) else None
    return Origin(
        thread_id=str(config.get("configurable", {}).get("thread_id") or ""),
        run_id=str((info and info.run_id) or config.get("metadata", {}).get("run_id") or traced or ""),
    )


def metadata_of(origins: Sequence[Origin]) -> dict[str, object]:
    """The newest turn's thread and run and, where a run serves several, all of them, oldest first."""
    if not origins:
        return {}
    newest, threads = origins[-1], list(dict.fromkeys(origin.thread_id for origin in origins))
    named: dict[str, object] = {"thread_id": newest.thread_id, "run_id": newest.run_id}
    runs = [origin.run_id for origin in origins]
    return {**named, "thread_ids": threads, "run_ids": runs} if len(origins) > 1 else named
