"""The record of the device."""

from __future__ import annotations

import re

import torch

from restoration.execution import convolution_library


def test_the_convolution_library_is_recorded_with_its_version() -> None:
    assert re.fullmatch(r"oneDNN \d+(\.\d+)+|native", convolution_library(torch.device("cpu")))
