"""Builds :class:`ImageInfo` from a file's header, for all formats alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from restoration.image.image_info import ExtraSample, ImageInfo, Resolution
from restoration.image.metadata_reader import MetadataBlocks, read_embedded, read_profile
from restoration.image.orientation import Orientation, from_tag

_ORIENTATION_TAG = 274


def upright_info(
    *,
    format: Literal["TIFF", "JPEG", "PNG", "JP2"],  # noqa: A002  (the field's name)
    width: int,
    height: int,
    bits_per_sample: int,
    colour_channels: int,
    extra_samples: tuple[ExtraSample, ...],
    resolution: Resolution | None,
    profile: bytes | None,
    blocks: MetadataBlocks,
    tags: Mapping[int, Any],
    page: int = 1,
    refusal: str | None = None,
) -> tuple[ImageInfo, Orientation]:
    """Returns the facts about the upright picture, and the stored picture's orientation.

    Args:
        format: the file's format.
        width: as stored, in px.
        height: as stored, in px.
        bits_per_sample: the same for all samples.
        colour_channels: the number of samples that models process.
        extra_samples: the kinds of the other samples.
        resolution: as stored.
        profile: the ICC profile's bytes, not yet validated.
        blocks: the metadata blocks, with the problems found so far.
        tags: EXIF or TIFF tags by number.
        page: the picture's number in the file, from 1.
        refusal: why the picture isn't supported, or None.
    """
    embedded, metadata = read_embedded(blocks, tags)
    # For a picture that is neither grey nor RGB, an unsuitable profile isn't a problem.
    profile, profile_name = read_profile(profile, colour_channels, [] if refusal else blocks.problems)
    orientation, problem = from_tag(tags.get(_ORIENTATION_TAG))
    upright_width, upright_height = orientation.size(width, height)
    info = ImageInfo(
        format=format,
        width=upright_width,
        height=upright_height,
        bits_per_sample=bits_per_sample,
        samples_per_pixel=colour_channels + len(extra_samples),
        colour_channels=colour_channels,
        extra_samples=extra_samples,
        resolution=resolution.turned() if resolution and orientation.transpose else resolution,
        icc_profile=profile,
        icc_description=profile_name,
        captured_at=embedded.captured_at,
        captured_by=embedded.captured_by,
        title=embedded.title,
        description=embedded.description,
        metadata=metadata,
        is_stored_sideways=orientation.transpose,
        problems=(*blocks.problems, *problem),
        page=page,
        refusal=refusal,
    )
    return info, orientation
