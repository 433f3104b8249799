"""Pictures for people, drawn with Pillow alone: a confusion matrix, and a sheet of images with words below each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from scaffold.runtime.images.decoding import Pixels

PAPER, INK, GRID, RIGHT, WRONG = "white", "#222222", "#dddddd", (38, 110, 180), (200, 60, 40)
MARGIN = 16
TILE, LINE = 96, 16
LARGEST_MATRIX, CELLS, SMALLEST_TEXT = 1000, (8, 44), 22
LONGEST_NAME = 24
AXES = "rows: label; columns: prediction"


@dataclass(frozen=True)
class Tile:
    """One image of a sheet, the lines of words below it, and whether it gets a frame that says it is wrong."""

    pixels: Pixels
    words: tuple[str, ...]
    is_wrong: bool = False


def contact_sheet(tiles: Sequence[Tile], columns: int = 8) -> Image.Image:
    """Return the tiles side by side, in rows."""
    lines = max(len(tile.words) for tile in tiles)
    width, height = TILE + MARGIN, TILE + MARGIN + LINE * lines
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (min(columns, len(tiles)) * width + MARGIN, rows * height + MARGIN), PAPER)
    draw, font = ImageDraw.Draw(sheet), font_of(12)
    for number, tile in enumerate(tiles):
        left, top = MARGIN + number % columns * width, MARGIN + number // columns * height
        picture = enlarged(tile.pixels)
        place = (left + (TILE - picture.width) // 2, top + (TILE - picture.height) // 2)
        sheet.paste(picture, place)
        frame = (place[0] - 1, place[1] - 1, place[0] + picture.width, place[1] + picture.height)
        draw.rectangle(frame, outline=WRONG if tile.is_wrong else GRID)
        for line, words in enumerate(tile.words):
            draw.text((left, top + TILE + 2 + line * LINE), shortened(words, font, TILE), INK, font)
    return sheet


def enlarged(pixels: Pixels) -> Image.Image:
    """Return an image as large as a tile, its pixels sharp where it is small, lit up where it is dark."""
    shown = pixels[..., 0] if pixels.shape[2] < 3 else pixels[..., :3]
    shown = shown * np.uint8(255 // max(1, int(shown.max())))
    image = Image.fromarray(np.ascontiguousarray(shown)).convert("RGB")
    scale = TILE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR)


def confusion_picture(counts: npt.NDArray[np.int64], labels: Sequence[str]) -> Image.Image:
    """Return a matrix of counts (labels, predictions): a cell is as dark as its part of the row, wrong ones are red."""
    names = [name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…" for name in labels]
    cell = max(CELLS[0], min(CELLS[1], LARGEST_MATRIX // len(names)))
    font = font_of(min(14, max(8, cell - 2)))
    side = round(max(font.getlength(name) for name in names)) + 2 * MARGIN
    extent = cell * len(names)
    width = side + max(extent, round(font_of(12).getlength(AXES))) + MARGIN
    picture = Image.new("RGB", (width, side + extent + MARGIN + LINE), PAPER)
    draw = ImageDraw.Draw(picture)
    for place, name in enumerate(names):
        middle = side + place * cell + cell // 2
        draw.text((side - 6, middle), name, INK, font, anchor="rm")
        picture.paste(upright(name, font, side - 6), (middle - font_height(font) // 2, 0))
    for place in range(len(names) + 1):
        draw.line((side, side + place * cell, side + extent, side + place * cell), GRID)
        draw.line((side + place * cell, side, side + place * cell, side + extent), GRID)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for row, column in np.argwhere(counts):
        corner = (side + int(column) * cell, side + int(row) * cell)
        draw_cell(draw, corner, cell, int(counts[row, column]), float(shares[row, column]), row == column)
    draw.text((side, side + extent + 4), AXES, INK, font_of(12))
    return picture


def draw_cell(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], cell: int, count: int, share: float, is_right: bool
) -> None:
    """Draw one count of the matrix, as a number where there is room."""
    left, top = corner
    full = RIGHT if is_right else WRONG
    colour = tuple(round(255 + (part - 255) * share**0.5) for part in full)
    draw.rectangle((left, top, left + cell, top + cell), fill=colour, outline=GRID)
    if cell >= SMALLEST_TEXT:
        ink = PAPER if share > 0.4 else INK
        size = min(14, round(1.7 * cell / len(str(count))))
        draw.text((left + cell / 2, top + cell / 2), str(count), ink, font_of(size), anchor="mm")


def upright(name: str, font: Any, length: int) -> Image.Image:
    """Return words that run upwards and end at the bottom of a strip of that length."""
    strip = Image.new("RGB", (length, font_height(font)), PAPER)
    ImageDraw.Draw(strip).text((0, font_height(font) // 2), name, INK, font, anchor="lm")
    return strip.rotate(90, expand=True)


@lru_cache
def font_of(size: int) -> Any:
    """Return Pillow's own font."""
    return ImageFont.load_default(size)


def font_height(font: Any) -> int:
    """Return the height of a line."""
    return sum(font.getmetrics())


def shortened(words: str, font: Any, width: int) -> str:
    """Return words that fit into a width, cut where they do not."""
    while font.getlength(words) > width and len(words) > 1:
        words = words[:-2] + "…"
    return words
