"""Image files: reading by window, writing, and their bit depth, colour profile, resolution, orientation and metadata.

Needs no torch. Supports TIFF, JP2, JPEG and PNG with 8 or 16 bits per sample, grey or RGB. Anything else is refused
with the reason; nothing is converted silently.
"""

from __future__ import annotations

from restoration.image.display_only_decoding import open_for_display
from restoration.image.format_detection import inspect, inspect_all, looks_like_image
from restoration.image.image_info import Area, ImageInfo, Limits, Resolution
from restoration.image.metadata_digests import metadata_digests
from restoration.image.picture import Crop, Picture, Source
from restoration.image.provenance_metadata import (
    Compression,
    ItemDescription,
    Provenance,
    digital_source_type,
    stage_source_type,
)
from restoration.image.sinks import ArraySink, Sink, TiffSink, pixel_sha256
from restoration.image.srgb_conversion import SrgbConversion, has_unusable_profile, srgb_profile, working_space
from restoration.image.stored_pixels import Samples
from restoration.image.structure_check import Depth, find_damage

__all__ = [
    "Area",
    "ArraySink",
    "Compression",
    "Crop",
    "Depth",
    "ImageInfo",
    "ItemDescription",
    "Limits",
    "Picture",
    "Provenance",
    "Resolution",
    "Samples",
    "Sink",
    "Source",
    "SrgbConversion",
    "TiffSink",
    "digital_source_type",
    "find_damage",
    "has_unusable_profile",
    "inspect",
    "inspect_all",
    "looks_like_image",
    "metadata_digests",
    "open_for_display",
    "pixel_sha256",
    "srgb_profile",
    "stage_source_type",
    "working_space",
]
