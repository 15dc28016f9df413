"""Painting ahead while the server is idle: one thread, on one core, which stops as soon as a request waits."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable

from everslide.server.errors import GoneError
from everslide.server.foresight import Foresight, Guess
from everslide.server.queue import PaintQueue

log = logging.getLogger(__name__)

_REMEMBERED = 16384
"""Number of finished guesses that are remembered."""


class IdlePainter:
    """Paints the guesses of `foresight` in a thread of its own, one after the other, while `queue` is idle.

    paint: paints the tile of a guess, if there is such a tile and it is not stored. It raises GoneError when
    `PaintQueue.abandoned` becomes true, since a request waits; the guess is tried again when the queue is idle.
    """

    def __init__(self, foresight: Foresight, queue: PaintQueue, paint: Callable[[Guess], None]) -> None:
        self._foresight, self._queue, self._paint = foresight, queue, paint
        self._done: OrderedDict[Guess, None] = OrderedDict()
        self._more = threading.Event()
        self._closing = False
        foresight.changed = self._more.set
        self._thread = threading.Thread(target=self._run, name="idle painter", daemon=True)

    def start(self) -> None:
        """Start the thread. Everything that `paint` needs must be ready."""
        self._more.set()
        self._thread.start()

    def close(self) -> None:
        """Stop, cancelling the tile being painted."""
        self._closing = True
        self._queue.close_to_idle_work()
        self._more.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while self._queue.wait_until_idle():
            self._more.clear()
            if self._closing:  # looked at after `clear`, which may have undone the `set` of `close`
                return
            guess = self._next()
            if guess is None:
                self._more.wait()
                continue
            try:
                with self._queue.idle_work():
                    self._paint(guess)
            except GoneError:
                continue  # somebody waits
            except Exception:
                log.exception("painting %s of slide %s ahead failed", guess.address, guess.slide)
            self._done[guess] = None
            while len(self._done) > _REMEMBERED:
                self._done.popitem(last=False)

    def _next(self) -> Guess | None:
        return next((guess for guess in self._foresight.guesses() if guess not in self._done), None)
