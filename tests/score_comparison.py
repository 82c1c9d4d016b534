"""Comparison of the scores of a GPU and of the processor; needs no more packages than a GPU machine has."""

from __future__ import annotations

import pytest

from restoration.quality import Score

COUNTS = {"changed_share", "smoothed_share", "filled_share", "filled_places"}
"""The shares and numbers that are counts, which are the same to the last one."""
TOLERANCES = {"ssim": 3e-6, "noise_sigma": 1.2e-5}
"""The largest differences; of other scores 1e-6."""


def assert_same(found: list[Score], expected: list[Score]) -> None:
    """Asserts that the scores of a GPU and of the processor are the same within the documented tolerances."""
    for one, other in zip(found, expected, strict=True):
        if one.value is None or other.value is None or one.metric in COUNTS:
            assert one == other
        else:
            assert one.value == pytest.approx(other.value, abs=TOLERANCES.get(one.metric, 1e-6)), one.metric
