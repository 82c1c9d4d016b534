"""Generators and discriminators: plain ``nn.Module`` classes that know nothing of files, devices or recipes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from restoration.errors import CardError
from restoration.networks.discriminators import PatchDiscriminator
from restoration.networks.generators import Generator, ResidualUNet
from restoration.networks.texture import at_texture, with_both_ends
from restoration.networks.vgg import VGGFeatures

__all__ = ["Generator", "PatchDiscriminator", "ResidualUNet", "VGGFeatures", "at_texture", "build", "with_both_ends"]

_GENERATORS: Mapping[str, type[Generator]] = {"residual-unet": ResidualUNet}


def build(architecture: str, numbers: Mapping[str, Any]) -> Generator:
    """The generator that a card's ``architecture`` names, with freshly initialised weights.

    Raises:
        CardError: the architecture is unknown, or its numbers don't fit it.
    """
    try:
        kind = _GENERATORS[architecture]
    except KeyError:
        known = ", ".join(sorted(_GENERATORS))
        raise CardError(f"the architecture {architecture!r} is unknown; this software has {known}") from None
    try:
        return kind(**numbers)
    except (TypeError, ValueError) as error:
        raise CardError(f"the architecture {architecture} can't be built with {dict(numbers)}: {error}") from error
