from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import pytest

from archive import failpoints
from archive.failpoints import Failpoint, failpoint


def test_nothing_is_armed_by_itself() -> None:
    assert failpoints.armed is None
    for name in failpoints.FAILPOINT_NAMES:
        failpoint(name)


def test_the_nth_time_fails_and_only_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failpoints, "armed", Failpoint("fsync:2:error=ENOSPC"))
    failpoint("rename")
    failpoint("fsync")
    with pytest.raises(OSError, match="No space left") as caught:
        failpoint("fsync")
    assert caught.value.errno == errno.ENOSPC
    failpoint("fsync")


@pytest.mark.parametrize(
    "text", ["", "nowhere", "fsync:2:pause", "fsync:error", "fsync:kill=9", "fsync:1:kill:1", "fsync:stop=1"]
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ARCHIVE_FAILPOINT"):
        Failpoint(text)


def test_a_process_stops_itself_until_it_is_continued() -> None:
    code = "from archive.failpoints import failpoint; failpoint('claim'); print('alive')"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={failpoints.FAILPOINT_VARIABLE: "claim:1:stop"},
        stdout=subprocess.PIPE,
    )
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    process.send_signal(signal.SIGCONT)
    assert process.communicate()[0] == b"alive\n"


def test_the_variable_arms_a_process() -> None:
    code = "from archive.failpoints import failpoint; failpoint('claim'); print('alive')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={failpoints.FAILPOINT_VARIABLE: "claim"}, capture_output=True
    )
    assert (done.returncode, done.stdout) == (-9, b"")
