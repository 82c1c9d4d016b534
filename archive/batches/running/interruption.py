"""Requests to stop: the first one lets in-flight tasks finish, the second one stops immediately."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Final, Self

CTRL_C: Final = "Ctrl-C"
SIGTERM: Final = "SIGTERM"


class StopRequest:
    """A request to stop, which any thread may make. As a context manager it does nothing more."""

    def __init__(self) -> None:
        self.requested = False
        self.immediate = False

    def ask(self) -> None:
        """Requests to finish in-flight tasks; the second call requests to stop immediately."""
        self.immediate = self.requested
        self.requested = True

    def raise_if_immediate(self) -> None:
        """Raises KeyboardInterrupt if an immediate stop was requested."""
        if self.immediate:
            raise KeyboardInterrupt

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class Interruption(StopRequest):
    """Ctrl-C as a stop request: the first SIGINT inside the context sets ``requested``, the second stops immediately.

    Inside a :class:`Termination`, SIGTERM does the same.

    It has no effect outside the main thread, where signals can't be handled.
    """

    def __init__(self, on_first: Callable[[str], None] = lambda _by: None) -> None:
        """``on_first`` is called by the signal handler at the first signal, with :data:`CTRL_C` or :data:`SIGTERM`."""
        super().__init__()
        self._on_first = on_first
        self._in_main_thread = threading.current_thread() is threading.main_thread()
        self._before: signal._HANDLER = signal.SIG_DFL

    def __enter__(self) -> Self:
        if self._in_main_thread:
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._in_main_thread:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.ask()
        self.raise_if_immediate()
        self._on_first(SIGTERM if number == signal.SIGTERM else CTRL_C)


class Termination:
    """SIGTERM as Ctrl-C: inside the context it has the same effect, and is remembered as the reason.

    It has no effect outside the main thread, where signals can't be handled.
    """

    def __init__(self) -> None:
        self._received = False
        self._in_main_thread = threading.current_thread() is threading.main_thread()
        self._before: signal._HANDLER = signal.SIG_DFL

    @property
    def reason(self) -> str:
        """What interrupted the run, if something did."""
        return SIGTERM if self._received else CTRL_C

    def __enter__(self) -> Self:
        if self._in_main_thread:
            self._before = signal.signal(signal.SIGTERM, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._in_main_thread:
            signal.signal(signal.SIGTERM, self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._received = True
        on_ctrl_c = signal.getsignal(signal.SIGINT)
        if not callable(on_ctrl_c):  # such as in a background job of a shell, where Ctrl-C is ignored
            raise KeyboardInterrupt
        on_ctrl_c(number, frame)


@contextmanager
def keeping_sigterm_handler() -> Iterator[None]:
    """Puts back the handler of SIGTERM if a library replaces it inside the context."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
