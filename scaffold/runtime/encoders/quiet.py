"""Models of transformers made without what is printed beside them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out the bar over a second's loading, and what is said of weights that are not there.

    The report of transformers takes a pooler left out on purpose for a fault; that of this package comes after it.
    """
    from transformers.utils import logging as theirs  # here, as the checker needs this before anything of transformers

    own = logging.getLogger(__package__)
    levels, bars = (own.level, theirs.get_verbosity()), theirs.is_progress_bar_enabled()
    own.setLevel(logging.ERROR)
    theirs.set_verbosity_error()
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        own.setLevel(levels[0])
        theirs.set_verbosity(levels[1])
        if bars:
            theirs.enable_progress_bar()
