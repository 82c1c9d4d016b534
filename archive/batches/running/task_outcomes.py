"""Outcomes of tasks: done, failed with a reason, or an error that stops the whole batch."""

from __future__ import annotations

import errno
import logging
import os
from contextvars import copy_context
from dataclasses import dataclass
from time import monotonic

from archive.batches.running.claims import Claim, LeaseLostError, release_claims
from archive.batches.running.commit import commit_derivative, record_failure
from archive.batches.running.database_retry import DATABASE_UNAVAILABLE, retry_while_unavailable
from archive.batches.running.log_context import set_stage_context, set_task_context
from archive.batches.running.source_folders import require_source_folders
from archive.batches.running.worker_pool import InFlightTask, TaskReleasedError
from archive.catalogue import Catalogue
from archive.catalogue.schema.vocabularies import TaskStatus
from archive.errors import ArchiveError, BatchError
from restoration.errors import ChangedImageError, DeviceError, ModelError, RestorationError

_log = logging.getLogger(__name__)

# A disk that takes no more is not a bad scan: every task after it would fail too.
_DISK_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}

LOST = "lost"  # to another process
RELEASED = "released"  # put back, because the batch was asked to stop


@dataclass(frozen=True, kw_only=True)
class TaskOutcomes:
    """What comes of the tasks of one batch. It writes to the catalogue, from one thread."""

    catalogue: Catalogue
    batch_id: int

    def settle(self, task: InFlightTask) -> str:
        """Records what came of a task whose work has ended, and tells the log; the outcome.

        Raises:
            BatchError: the error concerns the whole batch, which stops. The task is still in flight.
        """
        return task.context.run(self._settle, task)

    def _settle(self, task: InFlightTask) -> str:
        outcome, reason = self._outcome(task)
        _tell(outcome, reason, monotonic() - task.taken_at)
        return outcome

    def skipped(self, claim: Claim) -> None:
        """Logs a task that was skipped because its derivative exists already."""

        def tell() -> None:
            set_task_context(claim)
            _tell(TaskStatus.SKIPPED, None, 0.0)

        copy_context().run(tell)

    def _outcome(self, task: InFlightTask) -> tuple[str, str | None]:
        """The outcome, and its reason."""
        try:
            return self._recorded(task), None
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
                f"batch {self.batch_id} stopped: {error}. When that is mended, run "
                f"`archive batch resume {self.batch_id}`, or give it `--device cpu`. Nothing was marked as failed"
            ) from error
        except DATABASE_UNAVAILABLE:
            raise
        except Exception as error:
            return self._failed(task.claim, error)

    def _recorded(self, task: InFlightTask) -> TaskStatus:
        made = task.result()
        try:
            set_stage_context("record")
            return retry_while_unavailable(self.catalogue, lambda: commit_derivative(self.catalogue, task.claim, made))
        finally:
            # Before the task is put back or failed: only the file of a running task is looked for afterwards.
            task.remove_file()

    def _failed(self, claim: Claim, error: Exception) -> tuple[str, str | None]:
        if _is_disk_trouble(error):
            raise BatchError(
                f"batch {self.batch_id} stopped, because nothing more can be written: {error}. "
                f"Make room on the disk of {self.catalogue.settings.home}, then run "
                f"`archive batch resume {self.batch_id}`"
            ) from error
        # os.path.exists, because an unreachable share raises errors that Path.exists lets through.
        if os.path.exists(claim.master_path):  # noqa: PTH110
            reason = _reason(error)
        else:
            require_source_folders(self.catalogue, self.batch_id)
            reason = f"the master {claim.master_path} is missing: bring it back, or ingest the place it was moved to"
        try:
            retry_while_unavailable(self.catalogue, lambda: record_failure(self.catalogue, claim, reason))
        except LeaseLostError as lost:
            _log.warning("%s", lost)
            return LOST, str(lost)
        return TaskStatus.FAILED, reason


def _tell(outcome: str, reason: str | None, seconds: float) -> None:
    _log.info("task ended", extra={"outcome": outcome, "reason": reason, "seconds": seconds})


def _reason(error: Exception) -> str:
    if isinstance(error, ChangedImageError):
        text = f"{error}. Bring back what was ingested; the next `archive restore` tries it again"
    elif isinstance(error, RestorationError | ArchiveError | OSError):
        text = str(error)
    else:
        _log.error("an unexpected error", exc_info=error)
        text = f"unexpected {type(error).__name__}: {error}"
    # Databases take neither NUL nor the stand-ins for undecodable bytes of file names.
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _is_disk_trouble(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in _DISK_TROUBLE:
            return True
        error = error.__cause__
    return False
