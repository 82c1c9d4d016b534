"""The catalogue's closed vocabularies: the allowed values of columns."""

from __future__ import annotations

from enum import StrEnum

APPROVED = "approved"
"""The alias of the version in use."""


class View(StrEnum):
    RECTO = "recto"
    VERSO = "verso"
    DETAIL = "detail"
    MOUNT = "mount"
    TARGET = "target"


RESTORABLE_VIEWS = (View.RECTO, View.DETAIL)


class Access(StrEnum):
    OPEN = "open"
    RESTRICTED = "restricted"
    SENSITIVE = "sensitive"


class Polarity(StrEnum):
    POSITIVE = "positive"
    NEGATIVE = "negative"


class StageTask(StrEnum):
    RESTORATION = "restoration"
    STYLE = "style"


class DerivativeKind(StrEnum):
    RESTORED = "restored"
    STYLED = "styled"


class BatchKind(StrEnum):
    RESTORE = "restore"
    RERUN = "rerun"
    REPAIR = "repair"
    """Derivatives whose files are lost are recreated from their records."""


class FileFault(StrEnum):
    """The problem of a recorded file, as found by the last check."""

    MISSING = "missing"
    CHANGED = "changed"
    LOST = "lost"
    """It was recreated with other bytes, as another derivative: it is no longer checked."""


class TaskStatus(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class Decision(StrEnum):
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNDONE = "undone"
    """An earlier decision was undone: the derivative counts as not reviewed."""


class Role(StrEnum):
    """Roles of web accounts; each role includes the rights of the roles before it."""

    VIEWER = "viewer"
    REVIEWER = "reviewer"
    MANAGER = "manager"


class AgentType(StrEnum):
    """PREMIS 3 agent types in use."""

    PERSON = "person"
    SOFTWARE = "software"


class EventType(StrEnum):
    """PREMIS 3 event types (id.loc.gov/vocabulary/preservation/eventType), or our own if it has none."""

    INGESTION = "ingestion"
    METADATA_MODIFICATION = "metadata modification"
    RELOCATION = "relocation"
    FIXITY_CHECK = "fixity check"
    DERIVATION = "derivation"
    REVIEW = "review"
    MODEL_REGISTRATION = "model registration"
    ALIAS_CHANGE = "alias change"
    REPRODUCTION = "reproduction"
    DELETION = "deletion"
    WITHDRAWAL_LIFTED = "withdrawal lifted"
    SIGNATURE = "digital signature generation"
    DEACCESSION = "deaccession"
    """A master was removed from the catalogue, with all that was recorded about it."""


class Outcome(StrEnum):
    SUCCESS = "success"
    FAILURE = "failure"


class ScoredImage(StrEnum):
    SOURCE = "source"
    DERIVATIVE = "derivative"


class ComparedWith(StrEnum):
    SOURCE = "source"
    REFERENCE = "reference"
    STAGE_INPUT = "stage_input"
    STYLE = "style"
