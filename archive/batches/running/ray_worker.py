"""What runs on the nodes of a Ray cluster: the check of a node before work begins, and a worker as a Ray actor."""

from __future__ import annotations

import hashlib
import io
import platform
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from structlog.contextvars import bind_contextvars

import archive
import restoration
from archive.batches.running.leases import LeaseHolder
from archive.batches.running.model_preflight import check_batch_models
from archive.batches.running.source_folders import require_source_folders
from archive.batches.running.worker_loop import work_on_batch
from archive.batches.running.worker_process import Report, ReportingProgress, WorkerJob, stopping_batch_on_os_errors
from archive.catalogue import Catalogue
from archive.errors import ArchiveError
from archive.interruption import StopRequest
from archive.settings import Settings, load_settings

_LONGEST_POLL_SECONDS: Final = 1.0


def software_versions() -> dict[str, str]:
    """Everything that must be the same on all nodes, so that all of them make the same pixels."""
    return {
        archive.SOFTWARE_NAME: archive.__version__,
        "source code": _source_digest(),
        "Python": platform.python_version(),
        "torch": version("torch"),
        "numpy": version("numpy"),
    }


def check_node(job: WorkerJob, software: Mapping[str, str], mark: str) -> str | None:
    """Checks that this node can work on the batch; returns the reason why it can't.

    Args:
        job: the batch, with the settings of the machine that supervises it.
        software: the versions there.
        mark: the name of a file that was just written into the home there.
    """
    here = software_versions()
    for name, wanted in software.items():
        if here[name] != wanted:
            return f"{name} is {here[name]} there and {wanted} here. Install the same version on all nodes"
    home = job.settings.home
    if not (home / mark).exists():
        return f"{home} is not the same folder there as here. Mount the home at the same path on all nodes"
    try:
        catalogue = Catalogue.open(_local_settings(job.settings))
        check_batch_models(catalogue, job.batch_id)
        require_source_folders(catalogue, job.batch_id)
    except ArchiveError as error:
        return str(error)
    return None


class RayWorker:
    """A worker as a Ray actor; its methods run in threads of their own.

    The supervisor calls :meth:`run` once, :meth:`reports` again and again, and :meth:`stop` to ask it to stop.
    """

    def __init__(self, job: WorkerJob) -> None:
        self._job = job
        self._stop = StopRequest()
        self._reports = _ReportQueue()

    def run(self) -> tuple[Report, object]:
        """Works on the batch; returns the last report."""
        job = self._job
        sys.stderr = LineStream(lambda line: self._reports.send((Report.LOGGED, line)))
        job.set_up()
        bind_contextvars(node=job.options.node)
        self._reports.send((Report.STARTED, LeaseHolder.this_process()))
        try:
            with stopping_batch_on_os_errors(job.batch_id):
                work_on_batch(
                    Catalogue.open(_local_settings(job.settings)),
                    job.batch_id,
                    job.options,
                    stop=self._stop,
                    progress=ReportingProgress(self._reports),
                    make_models=job.make_models,
                )
        except ArchiveError as error:
            return Report.FAILED, error
        return Report.ENDED, None

    def reports(self) -> list[tuple[Report, object]]:
        """The reports since the last call; waits a moment for the first."""
        return self._reports.take()

    def stop(self) -> None:
        """Asks it to finish in-flight tasks; the second time to stop at once."""
        self._stop.ask()


class LineStream(io.TextIOBase):
    """A text stream that passes each whole line on."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        super().__init__()
        self._on_line = on_line
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._on_line(line)
        return len(text)


class _ReportQueue:
    """Reports that wait for the supervisor."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[Report, object]] = SimpleQueue()

    def send(self, obj: tuple[Report, object], /) -> None:
        self._queue.put(obj)

    def take(self) -> list[tuple[Report, object]]:
        """All reports; waits a moment for the first."""
        taken: list[tuple[Report, object]] = []
        with suppress(Empty):
            taken.append(self._queue.get(timeout=_LONGEST_POLL_SECONDS))
            while True:
                taken.append(self._queue.get_nowait())
        return taken


def _local_settings(settings: Settings) -> Settings:
    """The settings of the batch on this node: folders of masters may lie elsewhere here."""
    here = load_settings(settings.home)
    return replace(settings, roots=here.roots)


def _source_digest() -> str:
    """A digest of the software's own source code: development versions share a version number."""
    digest = hashlib.sha256()
    for package in (archive, restoration):
        folder = Path(package.__path__[0])
        for path in sorted(folder.rglob("*.py")):
            digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
