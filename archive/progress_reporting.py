"""How long work tells whoever started it how far it has come."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A progress listener: a bar on a terminal, lines in a log, or nothing."""

    def start(self, total: int, what: str, *, work: int | None = None) -> None:
        """``total`` steps of ``what`` (a plural noun, such as ``"masters"``) are about to begin.

        The remaining time is estimated by ``work``, of any unit, if the steps differ in size.
        """

    def advance(self, n: int = 1, note: str = "", *, work: int = 0) -> None:
        """``n`` more steps and ``work`` are done; ``note`` says what the last one was, or is empty."""

    def interrupted(self) -> None:
        """The work was asked to stop and finishes its current step first; called from a signal handler."""

    def finish(self) -> None:
        """No more steps will come, whether or not all were made."""


class NoProgress:
    """Progress that is not shown."""

    def start(self, total: int, what: str, *, work: int | None = None) -> None:
        pass

    def advance(self, n: int = 1, note: str = "", *, work: int = 0) -> None:
        pass

    def interrupted(self) -> None:
        pass

    def finish(self) -> None:
        pass
