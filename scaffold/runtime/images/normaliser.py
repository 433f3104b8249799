"""From images of any size to tensors of one: what that takes is learnt from the training images, and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from torch import Tensor

from scaffold.runtime.images.decoding import Pixels
from scaffold.runtime.images.sources import ImageFile
from scaffold.runtime.samples import BadRow

MOST_IMAGES = 1000  # are looked at, evenly spaced
LARGEST_SIDE = 224  # of a size that nobody chose
BLOCK = 64
Resize = Literal["crop", "pad", "stretch"]
Resizer = Callable[[Image.Image, tuple[int, int], Image.Resampling], Image.Image]
RESIZERS: dict[str, Resizer] = {"crop": ImageOps.fit, "pad": ImageOps.pad, "stretch": Image.Image.resize}


@dataclass(frozen=True)
class ImageNormaliser:
    """Makes images alike: size, channels and, over those of training, a mean of 0 and a standard deviation of 1.

    resize: `crop` fills the size and cuts what stands out, `pad` fits the image in, `stretch` changes its proportions.
    mean, std: of each channel, where 1 is full light.
    """

    height: int
    width: int
    channels: int
    resize: Resize
    mean: list[float]
    std: list[float]

    @classmethod
    def fit(
        cls,
        samples: Iterable[ImageFile],
        size: int | Sequence[int] | None = None,
        channels: int | None = None,
        resize: Resize = "crop",
    ) -> Self:
        """Learn from at most 1,000 training images; those that cannot be read are passed over.

        size: of a square, or height and width; None: the median of the images, at most 224. channels: 1 is gray, 3 is
        colour; None: 1 where no image has colour.
        """
        samples = _spaced(list(samples) if not isinstance(samples, Sequence) else samples)
        shapes = [_shape(pixels) for pixels in _readable(samples)] if size is None or channels is None else []
        height, width = _size(size, shapes)
        channels = channels or max((shape[2] for shape in shapes), default=1)
        plain = cls(height, width, channels, resize, [0.0] * channels, [1.0] * channels)
        mean, std = _moments(_readable(samples, plain.pixels), channels)
        return cls(height, width, channels, resize, mean, std)

    def pixels(self, image: Pixels) -> Pixels:
        """Return an image as (height, width, channels) bytes of this size; raises BadRow for too many channels."""
        image = _in_channels(image, self.channels)
        if image.shape[:2] == (self.height, self.width):
            return image
        size, resized = (self.width, self.height), RESIZERS[self.resize]
        layers = (Image.fromarray(np.ascontiguousarray(image[..., layer])) for layer in range(self.channels))
        return np.stack([np.asarray(resized(layer, size, Image.Resampling.BILINEAR)) for layer in layers], axis=-1)

    def tensors(self, pixels: npt.NDArray[Any]) -> Tensor:
        """Return images (images, height, width, channels) as (images, channels, height, width), normalised."""
        mean, std = (np.asarray(values, dtype=np.float32) for values in (self.mean, self.std))
        scaled = (pixels.astype(np.float32) / 255 - mean) / std
        return torch.from_numpy(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)))


def _spaced(samples: Sequence[ImageFile]) -> list[ImageFile]:
    step = -(-len(samples) // MOST_IMAGES) or 1
    return [samples[place] for place in range(0, len(samples), step)]


def _readable(samples: Iterable[ImageFile], prepared: Callable[[Pixels], Pixels] | None = None) -> Iterator[Pixels]:
    for sample in samples:
        with suppress(BadRow):  # `encode` reports it, whose caller knows the row's file and line
            pixels = sample.pixels()
            yield prepared(pixels) if prepared else pixels


def _shape(pixels: Pixels) -> tuple[int, int, int]:
    """Return height, width, and the channels that are needed: one where colours are only shades of gray."""
    height, width, channels = pixels.shape
    is_gray = channels == 3 and bool((pixels == pixels[..., :1]).all())
    return height, width, 1 if is_gray else channels


def _size(size: int | Sequence[int] | None, shapes: Sequence[tuple[int, int, int]]) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if size is not None:
        height, width = size
        return height, width
    if not shapes:
        return 1, 1
    height, width = (int(side) for side in np.median([shape[:2] for shape in shapes], axis=0))
    shrink = min(1, LARGEST_SIDE / max(height, width))
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def _moments(images: Iterator[Pixels], channels: int) -> tuple[list[float], list[float]]:
    sums, squares, count = np.zeros(channels), np.zeros(channels), 0
    while block := list(islice(images, BLOCK)):
        values = np.stack(block).reshape(-1, channels) / 255
        sums, squares, count = sums + values.sum(axis=0), squares + (values**2).sum(axis=0), count + len(values)
    if not count:
        return [0.0] * channels, [1.0] * channels
    mean = sums / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return [round(float(value), 6) for value in mean], [round(max(float(v), 1 / 255), 6) for v in deviation]


def _in_channels(image: Pixels, channels: int) -> Pixels:
    found = image.shape[2]
    if found == channels:
        return image
    if found == 1:
        return np.repeat(image, channels, axis=2)
    if (found, channels) == (3, 1):
        return np.asarray(Image.fromarray(np.ascontiguousarray(image)).convert("L"))[..., None]
    raise BadRow(f"expected an image of {channels} channels, as in training, got one of {found}")
