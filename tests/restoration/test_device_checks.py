"""The checks of ``test_cuda.py``, on the CPU."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.device_checks import (
    assert_close_losses,
    assert_close_pixels,
    assert_same_pixels,
    restoration_losses,
    restored,
    style_losses,
)

pytestmark = pytest.mark.slow

SIZE = (96, 80)


@pytest.mark.parametrize("model", ["denoise-deblur", "simulated-toned-print"])
def test_bfloat16_is_close_to_float32(model: str) -> None:
    single = restored("cpu", model=model, size=SIZE)
    assert_same_pixels(single, restored("cpu", model=model, size=SIZE))
    assert_close_pixels(restored("cpu", model=model, size=SIZE, precision="bf16"), single)


@pytest.mark.parametrize("losses", [restoration_losses, style_losses])
def test_training_steps_in_bfloat16_have_the_losses_of_float32(losses: Callable[..., dict[str, float]]) -> None:
    assert_close_losses(losses("cpu", precision="bf16"), losses("cpu", precision="fp32"))
