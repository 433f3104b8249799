"""Randomness that belongs to a batch: a resumed run draws what the uninterrupted one would have, in every engine."""

from __future__ import annotations

import torch


def seed_batch(seed: int, rank: int, epoch: int, number: int, device: torch.device) -> None:
    """Set torch's generators to the state of one batch of training; the generators of numpy and Python stay."""
    mixed = _mixed(seed, rank, epoch, number)
    torch.default_generator.manual_seed(mixed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(mixed)


def _mixed(*numbers: int) -> int:
    """Return 64 bits that follow from the numbers alone, on every machine and Python."""
    mixed = 0
    for number in numbers:
        mixed = ((mixed ^ number) * 0x9E37_79B9_7F4A_7C15 + 0x6A09_E667_F3BC_C909) & 0xFFFF_FFFF_FFFF_FFFF
        mixed ^= mixed >> 29
    return mixed
