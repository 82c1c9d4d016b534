"""The errors that this library raises for what a caller or a file did wrong.

::

    RestorationError
    ├── ImageError
    │   ├── UnreadableImageError      the bytes can't be decoded: truncated, corrupt, not an image
    │   ├── UnsupportedImageError     decodable, but not a kind that is carried faithfully
    │   ├── ImageTooLargeError        more pixels than the limit in force
    │   └── ChangedImageError         the bytes aren't those that were asked for, or changed while they were read
    ├── RecipeError                   a recipe or one of its parameters is invalid
    ├── ModelError
    │   ├── CardError                 card.json is missing, unreadable or incomplete
    │   └── WeightsError              weights are missing or aren't those of the card
    ├── DeviceError                   the device asked for isn't there or can't do the work
    │   └── DeviceMemoryError         its memory is full
    ├── OutputError                   a network gave values that aren't a picture (NaN, constant)
    └── TrainingError                 training can't start or go on with this data or checkpoint
"""

from __future__ import annotations


class RestorationError(Exception):
    """Base of every error this library raises on purpose."""


class ImageError(RestorationError):
    """Something about one image file."""


class UnreadableImageError(ImageError):
    """The file's bytes can't be decoded into pixels."""


class UnsupportedImageError(ImageError):
    """The file can be decoded, but its kind can't be carried faithfully into a derivative."""


class ImageTooLargeError(ImageError):
    """The file declares more pixels than the limit in force."""


class ChangedImageError(ImageError):
    """The file's bytes aren't those expected, or changed while they were read."""


class RecipeError(RestorationError):
    """A recipe, or a parameter in it, is invalid."""


class ModelError(RestorationError):
    """Something about one model version."""


class CardError(ModelError):
    """A model card is missing, unreadable or incomplete."""


class WeightsError(ModelError):
    """Weights are missing, or aren't those that the card names."""


class DeviceError(RestorationError):
    """The device asked for isn't there, or can't do the work."""


class DeviceMemoryError(DeviceError):
    """The device's memory is full."""


class OutputError(RestorationError):
    """A network's output isn't a picture."""


class TrainingError(RestorationError):
    """Training can't start or go on."""
