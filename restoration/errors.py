"""The errors that this library raises for problems in arguments and files.

::

    RestorationError
    ├── ImageError
    │   ├── UnreadableImageError      the bytes can't be decoded: truncated, corrupt, not an image
    │   ├── UnsupportedImageError     can be decoded, but this kind of image can't be preserved faithfully
    │   ├── ImageTooLargeError        more pixels than the limit
    │   └── ChangedImageError         the file isn't the expected one, or changed while it was read
    ├── RecipeError                   a recipe or one of its parameters is invalid
    ├── ModelError
    │   ├── CardError                 card.json is missing, unreadable or incomplete
    │   └── WeightsError              weights are missing or don't match the card
    ├── DeviceError                   the requested device is unavailable or fails
    │   └── DeviceMemoryError         the device's memory is full
    ├── OutputError                   a network returned an invalid picture (NaN, constant)
    └── TrainingError                 training can't start or continue with this data or checkpoint
"""

from __future__ import annotations


class RestorationError(Exception):
    """Base class of all errors that this library raises intentionally."""


class ImageError(RestorationError):
    """A problem with one image file."""


class UnreadableImageError(ImageError):
    """The file's bytes can't be decoded into pixels."""


class UnsupportedImageError(ImageError):
    """The file can be decoded, but a derivative can't preserve this kind of image faithfully."""


class ImageTooLargeError(ImageError):
    """The file declares more pixels than the limit."""


class ChangedImageError(ImageError):
    """The file's bytes aren't the expected ones, or changed while they were read."""


class RecipeError(RestorationError):
    """A recipe, or one of its parameters, is invalid."""


class ModelError(RestorationError):
    """A problem with one model version."""


class CardError(ModelError):
    """A model card is missing, unreadable or incomplete."""


class WeightsError(ModelError):
    """Weights are missing, or don't match the card."""


class DeviceError(RestorationError):
    """The requested device is unavailable, or fails."""


class DeviceMemoryError(DeviceError):
    """The device's memory is full."""


class OutputError(RestorationError):
    """A network's output isn't a valid picture."""


class TrainingError(RestorationError):
    """Training can't start or continue."""
