"""Runs batches in a separate process that continues when its parent ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from archive.settings import OPERATOR_VARIABLE, Settings

LOGS = "logs"


def run_in_background(settings: Settings, batch_id: int) -> Path:
    """Starts ``archive batch resume`` for a planned batch, on behalf of the operator of ``settings``.

    Returns:
        The log of the process, below the home.

    Raises:
        OSError: the process can't be started, or its log can't be written.
    """
    log = settings.home / LOGS / f"batch-{batch_id}.log"
    log.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "archive", "--home", str(settings.home), "batch", "resume", str(batch_id)]
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, OPERATOR_VARIABLE: settings.operator},
        )
    # Waits for its end, so that no zombie process stays behind.
    threading.Thread(target=process.wait, daemon=True).start()
    return log
