"""Training and evaluation: parts that rest while others are trained, and training without its chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn import functional as F  # noqa: N812 - the field's own name for it
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

ATTENTION = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")  # what may be given by place
DROPOUTS = {F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout}


def resting(model: nn.Module) -> list[str]:
    """Return the outermost trained parts that are in evaluation mode, and have dropout or the like."""
    if isinstance(model, PreTrainedModel):  # as from_pretrained returns it, for a loop that calls train() first
        return []
    found: list[str] = []
    for name, part in model.named_modules():
        below = any(name.startswith(f"{outer}.") or outer == "the model" for outer in found)
        if not below and not part.training and _is_trained(part) and any(map(rests, part.modules())):
            found.append(name or "the model")
    return found


def _is_trained(part: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in part.parameters())


def rests(part: nn.Module) -> bool:
    """Return whether dropout, or a normalisation over the batch, is in evaluation mode."""
    drops = isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0
    return not part.training and (drops or isinstance(part, nn.modules.batchnorm._BatchNorm))


class no_dropout(TorchFunctionMode):  # noqa: N801 - it is used as a context
    """Have functional dropout drop nothing."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in DROPOUTS:
            return kwargs["input"] if "input" in kwargs else args[0]
        if func is F.scaled_dot_product_attention:
            return func(**{**dict(zip(ATTENTION, args, strict=False)), **kwargs, "dropout_p": 0.0})
        return func(*args, **kwargs)


def still(model: nn.Module, *, normalise: bool = False) -> nn.Module:
    """Return the model with every rate of dropout at 0 and, unless asked to, without statistics of the batch."""
    for part in model.modules():
        for name, value in vars(part).items():
            if isinstance(value, float) and (name == "p" or "drop" in name):
                setattr(part, name, 0.0)
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and not normalise:
            part.train = lambda _=True, part=part: part  # type: ignore[assignment,misc]
            part.training = False
    return model
