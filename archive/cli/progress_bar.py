"""A progress bar on a terminal; no output elsewhere."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

    from archive.progress_reporting import Progress


_USUAL_COLUMNS, _USUAL_LINES = 80, 24


class ProgressBar:
    """A progress bar on standard error with a note. Its length and the remaining time are proportional to the work."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._total, self._done, self._what = 0, 0, ""
        self._has_work = False

    def start(self, total: int, what: str, *, work: int | None = None) -> None:
        from tqdm import tqdm

        self._total, self._done, self._what = total, 0, what
        self._has_work = work is not None
        has_size = _tells_size()
        self._bar = tqdm(
            total=total if work is None else work,
            file=sys.stderr,
            dynamic_ncols=has_size,
            ncols=None if has_size else _USUAL_COLUMNS,
            nrows=None if has_size else _USUAL_LINES,
            smoothing=0.1,
            bar_format="{l_bar}{bar}| {unit} [{elapsed}<{remaining}{postfix}]",
            unit=self._count(),
        )

    def advance(self, n: int = 1, note: str = "", *, work: int = 0) -> None:
        if self._bar is not None:
            self._done += n
            self._bar.unit = self._count()
            if note:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(work if self._has_work else n)

    def _count(self) -> str:
        return f"{self._done:,}/{self._total:,} {self._what}"

    def interrupted(self, by: str) -> None:
        again = {"Ctrl-C": "Press Ctrl-C again", "SIGTERM": "Send SIGTERM again"}.get(by, "Send SIGTERM twice")
        # Not through a stream, which a signal handler may interrupt during a write.
        os.write(sys.stderr.fileno(), f"\nFinishing in-flight tasks. {again} to stop immediately.\n".encode())

    def finish(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _tells_size() -> bool:
    """Whether standard error is a terminal that tells its size; in some containers and recorders it doesn't."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except OSError:  # not a terminal
        return False


def make_progress() -> Progress:
    """A progress bar if standard error is a terminal and the log format is text; otherwise no output."""
    from archive.cli.logging_setup import is_json
    from archive.progress_reporting import NoProgress

    return ProgressBar() if sys.stderr.isatty() and not is_json() else NoProgress()
