"""What people look at: the report, and the contact sheets of samples. Each is one HTML file that needs no network."""

from __future__ import annotations

from archive.report.contact_sheet import Sheet, write_sheets
from archive.report.html_report import Gain, Shown, gains, mean_gain, write_report

__all__ = ["Gain", "Sheet", "Shown", "gains", "mean_gain", "write_report", "write_sheets"]
