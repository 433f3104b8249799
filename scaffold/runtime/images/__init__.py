"""Images: rows that name them, their pixels as tensors, random changes in training, and pictures of what went wrong."""

from __future__ import annotations

from scaffold.errors import EnvironmentFault

try:
    import PIL  # noqa: F401
except ModuleNotFoundError:
    raise EnvironmentFault(
        "images need a package that is not installed",
        because="no module is called PIL",
        fix="pip install 'scaffold-ml[image]'",
    ) from None
