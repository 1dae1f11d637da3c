"""The callbacks of a learner: adding, removing, reaching them by name, and silencing the display."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from burnish.data.collections import L
from burnish.errors import SettingError, nearest
from burnish.train.callback import Callback, check_events
from burnish.train.loop import Events
from burnish.train.progress import Progress
from burnish.train.recorder import Recorder

Callbacks = Callback | type[Callback] | Sequence[Callback | type[Callback]] | None
Self = TypeVar("Self", bound="HasCallbacks")

WATCHERS_FROM = 50  # callbacks from this order on watch (recorder, display, trackers, checkpoints): only a fit calls them


class HasCallbacks:
    """The part of a learner that keeps its callbacks."""

    cbs: L[Callback]
    events: Events
    running: bool = False
    silent: bool = False  # inside no_logging

    def add_cb(self: Self, cb: Callback | type[Callback]) -> Self:
        """Adds a callback (or makes one of a class); it is then ``learn.<its name>``. A new recorder or display takes
        the place of the old one."""
        cb = cb() if isinstance(cb, type) and issubclass(cb, Callback) else cb
        if not isinstance(cb, Callback):
            raise SettingError(f"cbs: got {cb!r} ({type(cb).__name__}); expected a Callback, e.g. cbs=[EarlyStopping(patience=3)].")
        check_events(cb)
        if isinstance(cb, (Recorder, Progress)):
            self.cbs = L([old for old in self.cbs if not isinstance(old, type(cb))], use_list=True)
        self.cbs.append(cb)
        return self._rebound()

    def add_cbs(self: Self, cbs: Callbacks) -> Self:
        """Adds several callbacks."""
        for cb in as_callbacks(cbs):
            self.add_cb(cb)
        return self

    def remove_cb(self: Self, cb: Callback | type[Callback]) -> Self:
        """Removes a callback, or all of a class."""
        self.cbs = L([c for c in self.cbs if not (isinstance(c, cb) if isinstance(cb, type) else c is cb)], use_list=True)
        return self._rebound()

    def remove_cbs(self: Self, cbs: Callbacks) -> Self:
        """Removes several callbacks."""
        for cb in as_callbacks(cbs):
            self.remove_cb(cb)
        return self

    def _rebound(self: Self) -> Self:
        if self.running:
            self.events = self.events.rebound(self.cbs)
        return self

    @contextmanager
    def added_cbs(self: Self, cbs: Callbacks) -> Iterator[Self]:
        """Has `cbs` for the duration of the block."""
        before = self.cbs.copy()
        try:
            yield self.add_cbs(cbs)
        finally:
            self.cbs = before

    @contextmanager
    def removed_cbs(self: Self, cbs: Callbacks) -> Iterator[Self]:
        """Is without `cbs` for the duration of the block."""
        before = self.cbs.copy()
        try:
            yield self.remove_cbs(cbs)
        finally:
            self.cbs = before

    @contextmanager
    def no_bar(self: Self) -> Iterator[Self]:
        """Shows rows but no progress bar inside the block."""
        with self.showing(bar=False):
            yield self

    @contextmanager
    def no_logging(self: Self) -> Iterator[Self]:
        """Shows nothing of what is trained inside the block: no rows, no bar, no note of the results. Doubts are said."""
        before, self.silent = self.silent, True
        try:
            with self.showing(bar=False, rows=False):
                yield self
        finally:
            self.silent = before

    @contextmanager
    def showing(self, bar: bool | None = None, rows: bool | None = None) -> Iterator[None]:
        """Switches the display's bar and rows inside the block; None leaves them."""
        displays = [c for c in self.cbs if isinstance(c, Progress)]
        before = [(d.bar, d.rows) for d in displays]
        for d in displays:
            d.bar, d.rows = d.bar if bar is None else bar, d.rows if rows is None else rows
        try:
            yield
        finally:
            for d, (was_bar, were_rows) in zip(displays, before, strict=True):
                d.bar, d.rows = was_bar, were_rows

    def acting_cbs(self) -> list[Callback]:
        """The callbacks that take part in computing (they change inputs, outputs, losses), without those that watch."""
        return [cb for cb in self.cbs if cb.order < WATCHERS_FROM]

    def __getattr__(self, name: str) -> Any:
        """Callbacks by their names: ``learn.recorder``, ``learn.early_stopping``."""
        cbs = self.__dict__.get("cbs", [])
        for cb in reversed(cbs):
            if cb.name == name:
                return cb
        known = [n for n in {*dir(type(self)), *self.__dict__, *(cb.name for cb in cbs)} if not n.startswith("_")]
        raise AttributeError(f"A {type(self).__name__} has no attribute or callback {name!r}.{nearest(name, known)}")


def as_callbacks(cbs: Callbacks) -> list[Any]:
    """None, one callback (or class), or several, as a list."""
    if cbs is None:
        return []
    return [cbs] if isinstance(cbs, (Callback, type)) or not hasattr(cbs, "__iter__") else list(cbs)
