"""The progress bar on a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import termios

import pytest

from archive.cli.progress_bar import ProgressBar


@pytest.mark.parametrize(("lines", "columns"), [(0, 0), (30, 60), (30, 120)])
def test_the_bar_is_shown_also_where_the_terminal_does_not_tell_its_size(
    monkeypatch: pytest.MonkeyPatch, lines: int, columns: int
) -> None:
    terminal, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    with os.fdopen(side, "w") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        bar = ProgressBar()
        bar.start(3, "masters")
        bar.advance(3, "F 12")
        bar.finish()
    shown = _read_until_closed(terminal).decode()
    os.close(terminal)
    assert "0/3 masters" in shown
    assert "3/3 masters" in shown
    assert max(len(line) for line in shown.replace("\r", "\n").splitlines()) <= (columns or 80)


def _read_until_closed(terminal: int) -> bytes:
    """Reads everything that was written to a pseudo-terminal; one read can return a part of it."""
    shown = b""
    with contextlib.suppress(OSError):  # Linux reports a closed terminal as an input/output error
        while part := os.read(terminal, 10_000):
            shown += part
    return shown
