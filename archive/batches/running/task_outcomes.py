"""Task outcomes: done, failed with a reason, or an error that stops the whole batch."""

from __future__ import annotations

import errno
import logging
import os
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from archive.batches.running.claims import Claim, LeaseLostError, release_claims
from archive.batches.running.commit import commit_derivative, record_failure
from archive.batches.running.database_retry import DATABASE_UNAVAILABLE, retry_while_unavailable
from archive.batches.running.log_context import set_stage_context, set_task_context
from archive.batches.running.source_folders import require_source_folders
from archive.batches.running.task_thread_pool import InFlightTask, TaskReleasedError
from archive.catalogue import Catalogue
from archive.catalogue.schema.vocabularies import TaskStatus
from archive.errors import ArchiveError, BatchError
from archive.storage import DERIVATIVES, is_full
from restoration.errors import ChangedImageError, DeviceError, ModelError, RestorationError

_log = logging.getLogger(__name__)

_FOLDER_ERRNOS = {errno.EACCES, errno.EPERM, errno.ESTALE, errno.ENOTCONN}
"""Errors of a folder that nothing can be written to; all later tasks would fail too."""

LOST = "lost"  # to another process
RELEASED = "released"  # returned to pending, because the batch was asked to stop


@dataclass(frozen=True, kw_only=True)
class TaskOutcomes:
    """Records and logs the outcomes of one batch's tasks; for one thread."""

    catalogue: Catalogue
    batch_id: int

    def record(self, task: InFlightTask) -> str:
        """Records and logs the outcome of a finished task; returns the outcome.

        Raises:
            BatchError: the error concerns the whole batch, which stops. The task is still in flight.
        """
        return task.context.run(self._record_outcome, task)

    def _record_outcome(self, task: InFlightTask) -> str:
        outcome, reason = self._determine_outcome(task)
        _log_outcome(outcome, reason, monotonic() - task.submitted_at)
        return outcome

    def log_skipped(self, claim: Claim) -> None:
        """Logs a task that was skipped because its derivative exists."""

        def log() -> None:
            set_task_context(claim)
            _log_outcome(TaskStatus.SKIPPED, None, 0.0)

        copy_context().run(log)

    def _determine_outcome(self, task: InFlightTask) -> tuple[str, str | None]:
        """The outcome and its reason, recorded in the catalogue."""
        try:
            return self._commit(task), None
        except LeaseLostError as error:
            _log.warning("%s", error)
            return LOST, str(error)
        except TaskReleasedError as error:
            retry_while_unavailable(self.catalogue, lambda: release_claims(self.catalogue, task.claim))
            return RELEASED, str(error)
        except ModelError as error:
            raise BatchError(f"batch {self.batch_id} stopped: {error}") from error
        except DeviceError as error:
            raise BatchError(
                f"batch {self.batch_id} stopped: {error}. Fix that, then run "
                f"`archive batch resume {self.batch_id}`, or give it `--device cpu`. Nothing was marked as failed"
            ) from error
        except DATABASE_UNAVAILABLE:
            raise
        except Exception as error:
            return self._record_failure(task.claim, error)

    def _commit(self, task: InFlightTask) -> TaskStatus:
        result = task.result()
        try:
            set_stage_context("record")
            return retry_while_unavailable(
                self.catalogue, lambda: commit_derivative(self.catalogue, task.claim, result)
            )
        finally:
            # Before the task is released or failed: only the files of running tasks are searched for later.
            task.remove_file()

    def _record_failure(self, claim: Claim, error: Exception) -> tuple[str, str | None]:
        home = self.catalogue.settings.home
        if (advice := _storage_advice(error, home)) is not None:
            raise BatchError(
                f"batch {self.batch_id} stopped, because a file can't be written: {error}. {advice}, then run "
                f"`archive batch resume {self.batch_id}`"
            ) from error
        # os.path.exists, because an unreachable share raises errors that Path.exists lets through.
        if os.path.exists(claim.master_path):  # noqa: PTH110
            reason = _failure_reason(error)
        else:
            require_source_folders(self.catalogue, self.batch_id)
            reason = f"the master {claim.master_path} is missing: restore it, or ingest the folder that it was moved to"
        try:
            retry_while_unavailable(self.catalogue, lambda: record_failure(self.catalogue, claim, reason))
        except LeaseLostError as lost:
            _log.warning("%s", lost)
            return LOST, str(lost)
        return TaskStatus.FAILED, reason


def _log_outcome(outcome: str, reason: str | None, seconds: float) -> None:
    _log.info("task ended", extra={"outcome": outcome, "reason": reason, "seconds": seconds})


def _failure_reason(error: Exception) -> str:
    if isinstance(error, ChangedImageError):
        text = (
            f"{error}. Restore the file that was ingested; `archive restore` with the batch's settings tries it again"
        )
    elif isinstance(error, RestorationError | ArchiveError | OSError):
        text = str(error)
    else:
        _log.error("an unexpected error", exc_info=error)
        text = f"unexpected {type(error).__name__}: {error}"
    # Databases accept neither NUL nor the surrogates of undecodable bytes in file names.
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _storage_advice(error: BaseException | None, home: Path) -> str | None:
    """What to do about an error that keeps all derivatives from being written; None for another error."""
    while error is not None:
        if isinstance(error, OSError):
            if is_full(error):
                elsewhere = error.filename is not None and not _is_in(error.filename, home)
                return f"Make room on the disk of {error.filename if elsewhere else home}"
            folder = home / DERIVATIVES
            if error.errno in _FOLDER_ERRNOS and _is_in(error.filename, folder) and not os.access(folder, os.W_OK):
                return f"Make {folder} writable for this user, or mount it again"
        error = error.__cause__
    return None


def _is_in(path: str | bytes | int | None, folder: Path) -> bool:
    return isinstance(path, str) and Path(path).is_relative_to(folder)
