"""Named places where a test can kill or stop the process or make it fail:
``ARCHIVE_FAILPOINT=name[:n][:kill|stop|error=ENOSPC]``.

At the n-th time (1 by itself) that the place is reached, the process kills itself as ``kill -9`` does, stops itself
until a SIGCONT, or an OSError of that number is raised. The places are those where a batch is most vulnerable, in the
order in which a task meets them. With the variable unset nothing is armed, and reaching a place is one comparison.
"""

from __future__ import annotations

import os
import threading

FAILPOINT_VARIABLE = "ARCHIVE_FAILPOINT"
FAILPOINT_NAMES = ("claim", "read", "restore", "temporary_write", "fsync", "rename", "commit", "after_commit")
OTHER_FAILPOINT_NAMES = ("package_file", "package_end", "withdrawal_tombstone", "withdrawal_file", "removal_files")


class Failpoint:
    """One armed failpoint. It fails once, at the n-th time; later ones pass."""

    def __init__(self, text: str) -> None:
        """Reads ``name[:n][:kill|stop|error=<errno>]``.

        Raises:
            ValueError: it is not of that form, or the name is not known.
        """
        self.name, *rest = text.split(":")
        self.left = int(rest.pop(0)) if rest and rest[0].isdecimal() else 1
        action = rest.pop(0) if rest else "kill"
        kind, _, error = action.partition("=")
        if (
            self.name not in (*FAILPOINT_NAMES, *OTHER_FAILPOINT_NAMES)
            or rest
            or kind not in ("kill", "stop", "error")
            or (kind == "error") != bool(error)
        ):
            raise ValueError(
                f"{FAILPOINT_VARIABLE}={text!r} is not name[:n][:kill|stop|error=ENOSPC], "
                f"name one of {', '.join((*FAILPOINT_NAMES, *OTHER_FAILPOINT_NAMES))}"
            )
        self.kind = kind
        self.error = error
        self._lock = threading.Lock()

    def reached(self) -> None:
        """Counts the calls, and fails at the n-th."""
        with self._lock:
            self.left -= 1
            is_here = self.left == 0
        if not is_here:
            return
        if self.kind == "error":
            import errno

            number = getattr(errno, self.error)
            raise OSError(number, os.strerror(number))
        import signal

        os.kill(os.getpid(), signal.SIGKILL if self.kind == "kill" else signal.SIGSTOP)


armed: Failpoint | None = Failpoint(os.environ[FAILPOINT_VARIABLE]) if FAILPOINT_VARIABLE in os.environ else None


def failpoint(name: str) -> None:
    """Marks the place ``name``; fails only if it is armed."""
    if armed is not None and armed.name == name:
        armed.reached()
