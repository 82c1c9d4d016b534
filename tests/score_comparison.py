"""Comparison of the scores of a GPU and of the processor; needs no more packages than a GPU machine has."""

from __future__ import annotations

import pytest

from restoration.quality import Score

COUNTS = {"changed_share", "smoothed_share", "filled_share", "filled_places"}
"""The counts of pixels and places, which are the same to the last one."""
TOLERANCE = 2e-6
NOISE_TOLERANCE = 1e-5  # the width of a bin of the histogram


def assert_same(found: list[Score], expected: list[Score]) -> None:
    """Asserts that the scores of a GPU and of the processor are the same within the documented tolerances."""
    for one, other in zip(found, expected, strict=True):
        if one.value is None or other.value is None or one.metric in COUNTS:
            assert one == other
        else:
            tolerance = NOISE_TOLERANCE if one.metric == "noise_sigma" else TOLERANCE
            assert one.value == pytest.approx(other.value, abs=tolerance), one.metric
