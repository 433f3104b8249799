"""Draw the sample of the template image-classifier: shapes as a hand might draw them, always the same ones.

`python benchmarks/make_shapes.py [FOLDER]` writes train.npz, validation.npz, test.npz and preview.png.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from scaffold.runtime.images.pictures import Tile, contact_sheet

SIDE = 24
COUNTS = {"train": 216, "validation": 36, "test": 48}
SHAPES = ("circle", "cross", "square", "triangle")
SHADES = 16
Points = npt.NDArray[np.float64]


def outline(shape: str) -> list[Points]:
    """Return the strokes of a shape of radius 1 as lines of points."""
    if shape == "circle":
        angle = np.linspace(0, 2 * np.pi, 17)
        return [np.stack([np.cos(angle), np.sin(angle)], axis=1)]
    if shape == "cross":
        return [np.array([[-0.8, -0.8], [0, 0], [0.8, 0.8]]), np.array([[-0.8, 0.8], [0, 0], [0.8, -0.8]])]
    corners = 4 if shape == "square" else 3
    angle = np.pi / 4 * (corners == 4) + np.linspace(0, 2 * np.pi, corners + 1) - np.pi / 2
    return [np.stack([np.cos(angle), np.sin(angle)], axis=1)]


def strokes(shape: str, rng: np.random.Generator) -> list[Points]:
    """Return the strokes as a hand draws them: turned, stretched, uneven, not quite closed, somewhere on the paper."""
    turn = rng.normal(0, 0.25)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    size = SIDE * rng.uniform(0.2, 0.36) * rng.uniform(0.8, 1.2, 2)
    centre = SIDE / 2 + rng.uniform(-3.5, 3.5, 2)
    return [(line + rng.normal(0, 0.09, line.shape)) @ rotation * size + centre for line in outline(shape)]


def distances(line: Points) -> npt.NDArray[np.float64]:
    """Return how far each pixel is from a line of points."""
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    pixels = np.stack([columns, rows], axis=-1)[:, :, None]
    start, along = line[:-1], np.diff(line, axis=0)
    part = ((pixels - start) * along).sum(axis=-1) / np.maximum((along**2).sum(axis=-1), 1e-9)
    nearest = start + np.clip(part, 0, 1)[..., None] * along
    return np.linalg.norm(pixels - nearest, axis=-1).min(axis=-1)


def drawn(shape: str, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Return a picture of a shape: dark ink on light paper, with a smear now and then."""
    width, ink = rng.uniform(0.6, 1.2), rng.uniform(0.45, 1)
    lines = strokes(shape, rng)
    if rng.random() < 0.4:
        lines.append(rng.uniform(0, SIDE, (1, 2)) + np.array([[0, 0], rng.normal(0, 4, 2)]))
    distance = np.min([distances(line) for line in lines], axis=0)
    paper = rng.uniform(0.8, 1) + rng.normal(0, 0.02, (SIDE, SIDE))
    light = paper - ink * np.clip(width + 0.5 - distance, 0, 1)
    return (np.clip(light, 0, 1) * (SHADES - 1)).round().astype(np.uint8) * np.uint8(255 // (SHADES - 1))


def main() -> None:
    """Write the files."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "templates/image-classifier/data")
    rng = np.random.default_rng(2026)
    for split, count in COUNTS.items():
        labels = np.array([SHAPES[number % len(SHAPES)] for number in range(count)])
        images = np.stack([drawn(shape, rng) for shape in labels])
        np.savez_compressed(folder / f"{split}.npz", x=images, y=labels)
        if split == "train":
            tiles = [Tile(image[..., None], (label,)) for image, label in zip(images[:24], labels, strict=False)]
            contact_sheet(tiles, columns=8).save(folder / "preview.png", optimize=True)
    sizes = {path.name: path.stat().st_size for path in sorted(folder.glob("*.[np][pn]*"))}
    print(sizes, Image.open(folder / "preview.png").size)


if __name__ == "__main__":
    main()
