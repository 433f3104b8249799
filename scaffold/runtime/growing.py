"""An array of unknown final size: narrow while its values are small, in a file once it is large."""

from __future__ import annotations

import mmap
import tempfile
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from scaffold.errors import EnvironmentFault

Array = npt.NDArray[Any]
COPY_ITEMS = 1 << 20
INTEGERS = (np.int8, np.int16, np.int32)


class GrowingArray:
    """Takes blocks of numbers and returns them as one flat array; integers in the narrowest type that fits them all.

    Above `spool_above` bytes the values move to an unnamed temporary file, which vanishes with the process.
    """

    def __init__(self, dtype: npt.DTypeLike, spool_above: int) -> None:
        self.spool_above = spool_above
        self._start(np.dtype(dtype))

    def append(self, block: Array) -> None:
        """Add values at the end."""
        if self.dtype.kind == "i" and block.size:
            self.convert(np.promote_types(self.dtype, _narrowest(block)))
        self._write(block.astype(self.dtype, copy=False))

    def convert(self, dtype: npt.DTypeLike) -> None:
        """Hold the values as another type from now on."""
        if dtype == self.dtype:
            return
        values = self.finish()
        self._start(np.dtype(dtype))
        for begin in range(0, len(values), COPY_ITEMS):
            self._write(values[begin : begin + COPY_ITEMS].astype(dtype))

    def finish(self) -> Array:
        """Return all values; nothing can be added afterwards."""
        if self._file is None:
            return np.frombuffer(self._memory, dtype=self.dtype)
        self._file.flush()
        return np.frombuffer(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ), dtype=self.dtype)

    def _start(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self._memory = bytearray()
        self._file: IO[bytes] | None = None

    def _write(self, block: Array) -> None:
        if self._file is None:
            self._memory += block.data.cast("B") if block.size else b""
            if len(self._memory) <= self.spool_above:
                return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the array
                block, self._memory = np.frombuffer(self._memory, dtype=self.dtype), bytearray()
            self._file.write(block.data)
        except OSError as problem:
            raise EnvironmentFault(
                "The encoded rows do not fit into the folder for temporary files.",
                because=f"{tempfile.gettempdir()}: {problem.strerror}",
                fix="make room there, or set TMPDIR to a folder with more",
            ) from None


def _narrowest(block: Array) -> npt.DTypeLike:
    low, high = block.min(), block.max()
    for dtype in INTEGERS:
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return dtype
    return np.int64
