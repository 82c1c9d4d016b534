"""The report and the contact sheets of samples. Each is one HTML file that needs no network."""

from __future__ import annotations

from archive.report.contact_sheet import ContactSheet, write_contact_sheets
from archive.report.html_report import QualityGain, ReportCounts, mean_gain, quality_gains, write_report

__all__ = [
    "ContactSheet",
    "QualityGain",
    "ReportCounts",
    "mean_gain",
    "quality_gains",
    "write_contact_sheets",
    "write_report",
]
