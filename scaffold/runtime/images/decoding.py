"""The pixels of one image as (height, width, channels) bytes, whatever kind of file it comes from."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from scaffold.errors import shown
from scaffold.runtime.samples import BadRow

Pixels = npt.NDArray[np.uint8]
GRAY_MODES = ("1", "L", "LA", "La")
# what Pillow's decoders raise where a file is cut off, damaged, or claims to be enormous
FAULTS = (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


def read_file(path: Path) -> Pixels:
    """Return the pixels of an image file, turned as its orientation says; raises BadRow.

    Gray images have one channel, all others three; what is transparent is laid on white; of an animation, the first
    image counts.
    """
    try:
        with Image.open(path) as image:
            return pixels_of(ImageOps.exif_transpose(image))
    except BadRow as problem:
        raise BadRow(f"{problem} in {shown(str(path))}") from None
    except FileNotFoundError:
        raise BadRow(f"there is no image {shown(str(path))}; paths are relative to the file they stand in") from None
    except UnidentifiedImageError:
        raise BadRow(f"expected an image, got {shown(str(path))}, which Pillow cannot read: convert it") from None
    except FAULTS as problem:
        raise BadRow(f"expected a whole image, got {shown(str(path))}: {_reason(problem)}; replace it") from None


def pixels_of(image: Image.Image) -> Pixels:
    """Return the pixels of an opened image."""
    if image.mode.startswith("I;16"):
        return (np.asarray(image) >> 8).astype(np.uint8)[..., None]
    if image.mode in ("I", "F"):
        return as_bytes(np.asarray(image))[..., None]
    mode = "L" if image.mode in GRAY_MODES else "RGB"
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        paper.alpha_composite(image.convert("RGBA"))
        image = paper
    found = np.asarray(image.convert(mode))
    return found[..., None] if mode == "L" else found


def as_bytes(values: npt.NDArray[Any]) -> Pixels:
    """Return numbers from 0 to 1 (floats or truth values), to 255, or to 65,535 as bytes; raises BadRow for others."""
    if values.dtype == np.uint8 or not values.size:
        return values.astype(np.uint8)
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    low, high = values.min(), values.max()
    whole = values.dtype.kind in "iu"
    if values.dtype.kind not in "iuf" or not (low >= 0 and high <= (65535 if whole else 255)):
        raise BadRow(f"expected pixels from 0 to 1, to 255 or to 65,535, got {values.dtype} from {low} to {high}")
    if whole:
        return (values >> 8 if high > 255 else values).astype(np.uint8)
    return np.rint(values * (255 if high <= 1 else 1)).astype(np.uint8)


def _reason(problem: Exception) -> str:
    return getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
