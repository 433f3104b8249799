"""Random changes of training images that leave their labels true."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scaffold.runtime.images.decoding import Pixels


def augment(
    pixels: Pixels, rng: np.random.Generator, *, shift: float = 0.0, flip: bool = False, brightness: float = 0.0
) -> npt.NDArray[np.float32]:
    """Return images (images, height, width, channels), each changed in its own way.

    shift: moved by at most this part of each side; what comes in repeats the edge. flip: every other one mirrored, left
    to right. brightness: scaled by at most this part.
    """
    count, height, width, _ = pixels.shape
    rows = _moved(height, rng.uniform(-shift, shift, (count, 1)))
    columns = _moved(width, rng.uniform(-shift, shift, (count, 1)))
    mirrored = rng.random((count, 1)) < (0.5 if flip else 0.0)
    columns = np.where(mirrored, columns[:, ::-1], columns)
    chosen = pixels[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    light = 1 + rng.uniform(-brightness, brightness, (count, 1, 1, 1)).astype(np.float32)
    return np.minimum(chosen * light, np.float32(255))


def _moved(side: int, parts: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return (images, side): which place of each image stands at each place of the side now."""
    return np.clip(np.arange(side) - np.rint(parts * side).astype(np.int64), 0, side - 1)
