"""Calls the same method in its synchronous or asynchronous spelling, so that one test serves both."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Mode: TypeAlias = Literal["sync", "async"]


@dataclass(frozen=True, slots=True)
class Door:
    """`await call(graph, "invoke", value)` runs `invoke` or awaits `ainvoke`.

    The synchronous spelling runs in a worker thread, where no event loop runs: as it would in a user's script, and not
    as blocking code inside the test's own loop.
    """

    mode: Mode

    async def __call__(self, target: object, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call the method and return its result; exceptions pass through."""
        if self.mode == "async":
            return await getattr(target, f"a{name}")(*args, **kwargs)
        return await asyncio.to_thread(getattr(target, name), *args, **kwargs)

    async def collect(self, target: object, name: str, /, *args: Any, **kwargs: Any) -> list[Any]:
        """Exhaust a stream, `stream` or `astream`, and return its items."""
        if self.mode == "async":
            return [item async for item in getattr(target, f"a{name}")(*args, **kwargs)]
        return await asyncio.to_thread(lambda: list(getattr(target, name)(*args, **kwargs)))
