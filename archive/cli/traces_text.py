"""What a person still has to check after derivatives were deleted, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archive.cli.logging_setup import emit
from archive.cli.output_formats import escape_control_characters

if TYPE_CHECKING:
    from archive.derivative_traces import Traces


def print_traces(traces: Traces) -> None:
    """Prints on standard error what still holds deleted derivatives, one line each."""
    for sheet in traces.contact_sheets:
        emit(f"this contact sheet may still show parts: {escape_control_characters(str(sheet))}")
    for copy in traces.signed_copies:
        emit(f"handed over before: {escape_control_characters(copy)}")
    emit("backups, reports, exports and packages that were made before still hold what was deleted")


def traces_object(traces: Traces) -> dict[str, list[str]]:
    """The traces as keys of an answer in JSON."""
    return {
        "contact_sheets": [str(sheet) for sheet in traces.contact_sheets],
        "signed_copies": list(traces.signed_copies),
    }
