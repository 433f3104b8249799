"""How Lightning writes and reads checkpoints: its own way is atomic only with the temporary folder on the same disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from lightning.pytorch.plugins import CheckpointIO

from scaffold.runtime.training import checkpoints


class DurableCheckpointIO(CheckpointIO):
    """Saves, verifies and loads by the functions of `checkpoints`; give it to `Trainer(plugins=[…])`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint that survives a kill; Lightning calls this on the first rank only."""
        if storage_options is not None:
            raise TypeError(f"Expected storage_options None, got {storage_options!r}: checkpoints are local files.")
        checkpoints.save(checkpoint, path)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any = "cpu",
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Return a verified checkpoint; nothing in it runs code, whatever `weights_only` asks for."""
        return checkpoints.load(path, map_location)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint with its record; a sharded one is a folder."""
        if Path(path).is_dir():
            shutil.rmtree(path)
        checkpoints.remove(path)
