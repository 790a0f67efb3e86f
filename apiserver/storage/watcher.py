"""One watch request's view of a resource: events that its selection lets through, in order, bounded.

Fed by `cache.py`, drained by the HTTP layer. What events are is in `events.py`.

Invariant: a watcher sees every change of its selection exactly once and in revision order, or it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from .events import Event, Item, Selection, Transition


class Overrun(Exception):
    """The watcher was ended: it fell too far behind, or its history is gone. The client must list again."""


class Watcher:
    """An asynchronous iterator of batches of events. Close it, or use it as a context manager."""

    def __init__(
        self,
        selection: Selection,
        after: int,
        initial: Sequence[Item],
        reached: Callable[[], int],
        on_close: Callable[[Watcher], None],
        limit: int,
    ) -> None:
        self.selection = selection
        self.initial = initial
        """Objects that exist already, to be sent as ADDED before the first batch, if they were asked for."""
        self._after = after
        self._delivered = after
        self._reached = reached
        self._on_close = on_close
        self._limit = limit
        self._pending: list[Event] = []
        self._wakeup: asyncio.Future[None] | None = None
        self._ended = False
        self._overrun = False

    @property
    def revision(self) -> int:
        """Everything up to this revision has been delivered: what a bookmark may say."""
        return self._pending[0].revision - 1 if self._pending else max(self._delivered, self._reached())

    def offer(self, transition: Transition) -> None:
        """Queue the event that this change means to the selection, if any."""
        if transition.revision <= self._after or self._ended:
            return
        event = transition.seen_by(self.selection)
        if event is None:
            return
        if len(self._pending) >= self._limit:
            self.overrun()
            return
        self._pending.append(event)
        self._wake()

    def overrun(self) -> None:
        """End with Overrun once what is queued has been taken."""
        self._overrun = True
        self.close()

    def close(self) -> None:
        if not self._ended:
            self._ended = True
            self._on_close(self)
            self._wake()

    def take(self) -> Sequence[Event]:
        """The events that are waiting, maybe none. Raises Overrun at once: what waits is not the present."""
        if self._overrun:
            raise Overrun("the watch fell too far behind")
        if not self._pending:
            return ()
        batch, self._pending = self._pending, []
        self._delivered = batch[-1].revision
        return batch

    def _wake(self) -> None:
        wakeup, self._wakeup = self._wakeup, None
        if wakeup is not None and not wakeup.done():
            wakeup.set_result(None)

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Watcher:
        return self

    async def __anext__(self) -> Sequence[Event]:
        """All events that are waiting, at least one. Raises Overrun. Only one task may iterate."""
        while not self._pending:
            if self._overrun:
                raise Overrun("the watch fell too far behind")
            if self._ended:
                raise StopAsyncIteration
            self._wakeup = asyncio.get_running_loop().create_future()
            await self._wakeup
        batch, self._pending = self._pending, []
        self._delivered = batch[-1].revision
        return batch


class Watchers:
    """The watchers of one resource, filed so that a change wakes only those it may concern: 5,000 kubelets
    each watch the pods of one node."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, ...], dict[Watcher, None]] = {}
        self._fields: dict[str, int] = {}
        """Selectable fields by which watchers are filed, and how many."""

    def add(self, watcher: Watcher) -> None:
        file = _file(watcher.selection)
        self._files.setdefault(file, {})[watcher] = None
        if len(file) == 2:
            self._fields[file[0]] = self._fields.get(file[0], 0) + 1

    def remove(self, watcher: Watcher) -> None:
        file = _file(watcher.selection)
        filed = self._files.get(file, {})
        if watcher not in filed:
            return
        del filed[watcher]
        if not filed:
            del self._files[file]
        if len(file) == 2:
            self._fields[file[0]] -= 1
            if not self._fields[file[0]]:
                del self._fields[file[0]]

    def offer(self, transition: Transition) -> None:
        """Hand a change to every watcher that it may concern."""
        for file in self._concerned(transition):
            if filed := self._files.get(file):
                for watcher in tuple(filed):
                    watcher.offer(transition)

    def all(self) -> Iterator[Watcher]:
        for filed in tuple(self._files.values()):
            yield from tuple(filed)

    def _concerned(self, transition: Transition) -> Iterator[tuple[str, ...]]:
        item = transition.after or transition.before
        assert item is not None
        yield ()
        yield (item.namespace,)
        yield ("name", item.namespace, item.name)
        for name in tuple(self._fields):
            values = {
                side.fields.get(name, "")
                for side in (transition.before, transition.after)
                if side is not None
            }
            for value in values:
                yield (name, value)


def _file(selection: Selection) -> tuple[str, ...]:
    """The narrowest file that a watcher belongs into: name, field, namespace, or all."""
    if selection.name and selection.namespace:
        return ("name", selection.namespace, selection.name)
    for name, value in selection.equals.items():
        return (name, value)
    return (selection.namespace,) if selection.namespace else ()
