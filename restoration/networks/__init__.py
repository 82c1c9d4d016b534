"""Generators and discriminators: plain ``nn.Module`` classes that know nothing of files, devices or recipes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from restoration.errors import CardError
from restoration.networks.discriminators import PatchDiscriminator
from restoration.networks.generators import Generator, ResidualUNet
from restoration.networks.style_generator import StyleEncoder, StyleNetwork
from restoration.networks.vgg_features import VGGFeatures
from restoration.networks.weight_interpolation import interpolate_weights, join_endpoints

__all__ = [
    "Generator",
    "PatchDiscriminator",
    "ResidualUNet",
    "StyleEncoder",
    "StyleNetwork",
    "VGGFeatures",
    "build_generator",
    "build_style_network",
    "interpolate_weights",
    "join_endpoints",
]

Network = TypeVar("Network")

_GENERATORS: Mapping[str, type[Generator]] = {"residual-unet": ResidualUNet}
_STYLES: Mapping[str, type[StyleNetwork]] = {"style-unet": StyleNetwork}


def build_generator(architecture: str, numbers: Mapping[str, Any]) -> Generator:
    """The generator that a restoration's card names as its ``architecture``, with freshly initialised weights.

    Raises:
        CardError: the architecture is unknown, or its numbers don't fit it.
    """
    return _construct(_GENERATORS, architecture, numbers)


def build_style_network(architecture: str, numbers: Mapping[str, Any]) -> StyleNetwork:
    """The network that a style's card names as its ``architecture``, with freshly initialised weights.

    Raises:
        CardError: the architecture is unknown, or its numbers don't fit it.
    """
    return _construct(_STYLES, architecture, numbers)


def _construct(classes: Mapping[str, type[Network]], architecture: str, numbers: Mapping[str, Any]) -> Network:
    try:
        network_class = classes[architecture]
    except KeyError:
        known = ", ".join(sorted(classes))
        raise CardError(f"the architecture {architecture!r} is unknown; this software has {known}") from None
    try:
        return network_class(**numbers)
    except (TypeError, ValueError) as error:
        raise CardError(f"the architecture {architecture} can't be built with {dict(numbers)}: {error}") from error
