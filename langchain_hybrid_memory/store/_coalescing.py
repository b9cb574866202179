"""Joins the batches that tasks of one event loop ask for at the same moment into one batch."""

from __future__ import annotations

import asyncio
import contextvars
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from langgraph.store.base import Op, Result

Execute: TypeAlias = "Callable[[Sequence[Op]], Awaitable[list[Result]]]"


class Coalescer:
    """Gathers calls until their event loop comes round, then runs them as one; later calls form the next batch.

    Batches do not wait for each other, so a slow embedding holds up only the calls it came with. Each loop gathers for
    itself: nothing is bound to the loop a store was made on, and synchronous calls are not involved.
    """

    def __init__(self) -> None:
        """Start with nothing gathered."""
        self._gathering: dict[asyncio.AbstractEventLoop, _Group] = {}

    async def run(self, ops: Sequence[Op], execute: Execute) -> list[Result]:
        """Run operations together with those of whoever calls in the same moment.

        A call that is cancelled takes nobody along: before the batch starts its operations are left out, after that
        they are carried out unless everybody has gone. If the batch fails, each call is run again on its own and meets
        its own error.

        Args:
            ops: The operations of this call.
            execute: Runs a batch, as a whole or not at all; results come in the order of the operations. Alone it runs
                in this call's context, together with others in an empty one, so that no caller's callbacks or traces
                see another's work.
        """
        loop = asyncio.get_running_loop()
        group = self._gathering.get(loop)
        if group is None:
            group = self._gathering[loop] = _Group(execute)
            loop.call_soon(self._start, loop)
        call = _Call(ops, loop.create_future(), contextvars.copy_context())
        group.calls.append(call)
        try:
            return await call.results
        finally:
            group.leave()

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._gathering.pop(loop).start(loop)


class _Call(NamedTuple):
    ops: Sequence[Op]
    results: asyncio.Future[list[Result]]
    context: contextvars.Context

    def settle(self, outcome: list[Result] | BaseException) -> None:
        if self.results.done():  # cancelled meanwhile
            return
        if isinstance(outcome, BaseException):
            self.results.set_exception(outcome)
        else:
            self.results.set_result(outcome)


@dataclass(slots=True)
class _Group:
    execute: Execute
    calls: list[_Call] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self.calls = [call for call in self.calls if not call.results.done()]
        if self.calls:
            context = self.calls[0].context if len(self.calls) == 1 else contextvars.Context()
            self.task = loop.create_task(self._run(), context=context)

    def leave(self) -> None:
        if self.task and all(call.results.cancelled() for call in self.calls):
            self.task.cancel()

    async def _run(self) -> None:
        if len(self.calls) > 1 and await self._run_together():
            return
        for call in self.calls:
            if not call.results.done():
                call.settle(await self._outcome(call.ops))

    async def _run_together(self) -> bool:
        outcome = await self._outcome([op for call in self.calls for op in call.ops])
        if isinstance(outcome, BaseException):
            return False
        results = iter(outcome)
        for call in self.calls:
            call.settle([next(results) for _ in call.ops])
        return True

    async def _outcome(self, ops: Sequence[Op]) -> list[Result] | BaseException:
        (outcome,) = await asyncio.gather(self.execute(ops), return_exceptions=True)
        return outcome
