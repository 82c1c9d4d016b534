"""What is recorded of the device that does the work."""

from __future__ import annotations

import re

import torch

from restoration.execution import convolution_library


def test_the_library_that_does_the_convolutions_is_named_with_its_version() -> None:
    assert re.fullmatch(r"oneDNN \d+(\.\d+)+|native", convolution_library(torch.device("cpu")))
