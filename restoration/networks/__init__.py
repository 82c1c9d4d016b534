"""Generators and discriminators: plain ``nn.Module`` classes, independent of files, devices and recipes."""

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


def build_generator(architecture: str, hyperparameters: Mapping[str, Any]) -> Generator:
    """Builds the generator that a restoration's card names as its ``architecture``, with initial weights.

    Raises:
        CardError: the architecture is unknown, or its hyperparameters are invalid.
    """
    return _construct(_GENERATORS, architecture, hyperparameters)


def build_style_network(architecture: str, hyperparameters: Mapping[str, Any]) -> StyleNetwork:
    """Builds the network that a style's card names as its ``architecture``, with initial weights.

    Raises:
        CardError: the architecture is unknown, or its hyperparameters are invalid.
    """
    return _construct(_STYLES, architecture, hyperparameters)


def _construct(classes: Mapping[str, type[Network]], architecture: str, hyperparameters: Mapping[str, Any]) -> Network:
    try:
        network_class = classes[architecture]
    except KeyError:
        known = ", ".join(sorted(classes))
        raise CardError(f"unknown architecture {architecture!r}; this software has {known}") from None
    try:
        return network_class(**hyperparameters)
    except (TypeError, ValueError) as error:
        raise CardError(
            f"the architecture {architecture} can't be built with {dict(hyperparameters)}: {error}"
        ) from error
