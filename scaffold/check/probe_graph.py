"""What hangs on a tensor: the nodes of its graph, and the leaves at their ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor


def nodes(tensors: Iterable[Tensor]) -> set[Any]:
    """Return every node of the graphs that some tensors come from."""
    waiting: list[Any] = [tensor.grad_fn for tensor in tensors]
    seen: set[Any] = set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
    return seen


def leaves(loss: Tensor) -> list[Tensor]:
    """Return the tensors at the ends of a loss's graph that collect gradients."""
    own = [loss] if loss.is_leaf else []
    return own + [node.variable for node in nodes([loss]) if hasattr(node, "variable")]
