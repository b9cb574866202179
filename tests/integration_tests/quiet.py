"""Lives some turns in a process that ends at its first connection: `python -m tests.integration_tests.quiet <folder>`.

The kernel ends it, so a connection made by native code of Chroma or onnxruntime counts too, and one to a loopback
address as well. With `reach` behind the folder it connects once all is done.
"""

from __future__ import annotations

import ctypes
import platform
import socket
import struct
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests import HOME

CALLS = {"x86_64": (42, 44), "aarch64": (203, 206)}
"""The numbers of `connect` and `sendto` by machine."""
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER, RECEIVER = 0, 16 + 4 * 8
"""Where a filter finds a call's number, and the address that `sendto` may carry; a connected socket gives none."""
END_PROCESS, ALLOW = 0x8000_0000, 0x7FFF_0000
SET_FILTER, FILTER, NO_NEW_PRIVILEGES = 22, 2, 38


def forbid_connections() -> None:
    """Have the kernel end this process with SIGSYS when it connects or sends to an address."""
    connect, sendto = CALLS[platform.machine()]
    steps = [
        (LOAD, 0, 0, NUMBER),
        (IF_EQUAL, 3, 0, connect),
        (IF_EQUAL, 0, 3, sendto),
        (LOAD, 0, 0, RECEIVER),
        (IF_EQUAL, 1, 0, 0),
        (RETURN, 0, 0, END_PROCESS),
        (RETURN, 0, 0, ALLOW),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    described = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program)))
    control = ctypes.CDLL(None, use_errno=True).prctl
    if control(NO_NEW_PRIVILEGES, 1, 0, 0, 0) or control(SET_FILTER, FILTER, described):
        message = f"cannot forbid connections: error {ctypes.get_errno()}"
        raise OSError(message)


def live(folder: Path) -> list[str]:
    """Learn from two turns and be asked in a third, with a store on disk and a model in onnxruntime."""
    from langgraph.checkpoint.memory import InMemorySaver

    from langchain_hybrid_memory import HybridMemory
    from langchain_hybrid_memory.hybrid_memory import open_store
    from langchain_hybrid_memory.store import _follower, _search
    from tests.doubles.eight_words import embedding_in
    from tests.doubles.life import SECONDS, configured, learning_model, talking_model

    with (
        patch.object(_follower, "LAG", 0),  # else Chroma is asked only once there is much to search
        patch.object(_search, "LARGE", 0),
        open_store(folder / "memory", embedding=embedding_in(folder / "models")) as store,
        HybridMemory(learning_model(), store=store, checkpointer=InMemorySaver()) as memory,
    ):
        graph: Any = memory.graph(talking_model())
        for text in ("I live in Lisbon.", "My friend Sarah works at Google as a baker.", "Where do I live?"):
            graph.invoke({"messages": [("user", text)]}, configured("alex", "t"))
            memory.flush(SECONDS)
        hits = memory.for_user("alex").recall("Where do I live?")
        return [hit.text for hit in hits]


if __name__ == "__main__":
    forbid_connections()
    print(live(Path(sys.argv[1])))  # noqa: T201 - to whoever started it
    print([name for name in ("onnxruntime", "posthog") if name in sys.modules])  # noqa: T201
    print([str(path) for path in HOME.rglob("*")])  # noqa: T201
    if "reach" in sys.argv:
        socket.create_connection(("127.0.0.1", 9), timeout=1)
