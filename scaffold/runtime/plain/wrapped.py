"""A plain `nn.Module` inside the base Lightning module, so that every command of a project works with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from scaffold.errors import ConfigError, Where
from scaffold.runtime.config.settings import read_settings
from scaffold.runtime.module import BaseModule
from scaffold.runtime.plain.model_params import ModelParams, build_model
from scaffold.runtime.vocabulary import Vocabulary

STARTING_WEIGHTS = {"checkpoint": None, "load_pretrained_weights": None}


class WrappedModule(BaseModule):
    """A registered model, as `self.model`, with the steps, metrics and predictions of a task.

    A task mixin stands before it in a class's bases. The keys of `conf/model` are those of `ModelParams`; the training
    loop chooses the device.
    """

    def __init__(self, vocabulary: Vocabulary, optim_conf: Mapping[str, Any], **model: Any) -> None:
        super().__init__(vocabulary=vocabulary, optim_conf=optim_conf)
        params = read_settings(ModelParams, model, "model")
        if params.device_map not in (None, "auto"):
            raise ConfigError(
                f"model.device_map cannot be {params.device_map} in training",
                because="the training loop moves the model",
                fix="leave it out, and set trainer.accelerator=cpu",
                where=Where(key="model.device_map"),
                code="config.value",
            )
        self.model = build_model(params, packages=[type(self).__module__.partition(".")[0]])

    @property
    def plain_model(self) -> Any:
        """The model itself, whose `forward` takes the batch."""
        return self.model

    @classmethod
    def restored_arguments(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Leave out the weights that training began with: the checkpoint has its own."""
        return {**arguments, **STARTING_WEIGHTS}

    def forward(self, **batch: Any) -> Any:
        """Return what the model does."""
        return self.model(**batch)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the gradients as the other training loops do: over the model's parameters in their own order.

        Lightning takes them in the optimizer's, whose norm is rounded otherwise; after some steps that can be seen.
        """
        if self.trainer.world_size > 1 or gradient_clip_algorithm not in (None, "norm"):
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val:
            clip_grad_norm_(self.parameters(), gradient_clip_val)
