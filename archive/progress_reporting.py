"""Progress reporting: the interface between long work and its display."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A progress listener: a bar on a terminal, lines in a log, or nothing."""

    def start(self, total: int, what: str, *, work: int | None = None) -> None:
        """Starts ``total`` steps of ``what`` (a plural noun, such as ``"masters"``).

        The remaining time is estimated by ``work``, of any unit, if the steps differ in size.
        """

    def advance(self, n: int = 1, note: str = "", *, work: int = 0) -> None:
        """Reports that ``n`` more steps and ``work`` are done; ``note`` describes the last one, or is empty."""

    def interrupted(self, by: str) -> None:
        """Reports that the work will stop after its current step; called from a signal handler.

        ``by`` is ``"Ctrl-C"``, ``"SIGTERM"`` or ``"SIGHUP (closed terminal)"``.
        """

    def finish(self) -> None:
        """Reports that no more steps follow, whether or not all were done."""


class NoProgress:
    """Progress that is not shown."""

    def start(self, total: int, what: str, *, work: int | None = None) -> None:
        pass

    def advance(self, n: int = 1, note: str = "", *, work: int = 0) -> None:
        pass

    def interrupted(self, by: str) -> None:
        pass

    def finish(self) -> None:
        pass
