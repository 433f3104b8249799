"""A model and its batches, and the plain runs that everything else starts from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from scaffold.check.probe_adapt import Adapter
from scaffold.check.probe_batches import count_rows, without_targets
from scaffold.check.probe_call import SEED, Ran, attempt, backward, call
from scaffold.check.probe_compare import scores_of
from scaffold.check.probe_copy import copied_model, is_copied_well
from scaffold.check.probe_place import Places
from scaffold.check.probe_rows import ROWS
from scaffold.check.probe_stir import as_model, stir
from scaffold.runtime.contracts import Contract, entry, has_fields, loss_violations, shape_violations
from scaffold.runtime.training.trial import dict_problems, is_plain_dict, remedy

LABELLED = "With labels: "


class Rows(Protocol):
    """Where a probe's batches come from."""

    def batch(self, rows: Sequence[int], number: int = 0) -> Mapping[str, Any]:
        """Return the labelled batch of some rows; another round has others, as far as there are any."""
        ...


@dataclass(frozen=True)
class Given:
    """What a probe is made of.

    make: returns a new model. rows: its batches. sizes: dimensions that are known beforehand, such as labels.
    pad_id, pads_left: the tokenizer's padding. data: the project's DataModule, if there is one. large: how many
    parameters a model has that is too large to be run, and then `fake`, in which its tensors have shapes alone.
    adapter: what reads the output of a lone class that has no names for it.
    """

    make: Callable[[], nn.Module]
    rows: Rows
    contract: Contract
    places: Places
    sizes: Mapping[str, int]
    pad_id: int = 0
    pads_left: bool = False
    data: Any = None
    large: int | None = None
    fake: Callable[[], AbstractContextManager[Any]] = nullcontext
    adapter: Adapter | None = None


class Bench:
    """What experiments are made with. What is slow is done when it is first asked for, and once."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self.contract, self.rows = given.contract, given.rows
        self.pad_id, self.pads_left = given.pad_id, given.pads_left
        self.batch = dict(self.rows.batch(range(ROWS)))

    @cached_property
    def places(self) -> Places:
        """Where findings belong."""
        return replace(self.given.places, plain_class=None if self.plain_model is None else type(self.plain_model))

    # models

    def make(self) -> nn.Module:
        """Return a new model, in training mode."""
        with self.given.fake():
            made = self.made
            if any(isinstance(parameter, UninitializedParameter) for parameter in made.parameters()):
                call(made, self.unlabelled)  # layers that learn their sizes from the first batch
        return made.train()

    @property
    def made(self) -> nn.Module:
        """A new model, in the mode that it was made in."""
        model: nn.Module = attempt("__init__", self.given.make).get()
        return model

    def fresh(self) -> nn.Module:
        """Return another model like that of `make`: a copy, where that is as good and quicker."""
        return copied_model(self.pristine) if is_copied_well(self.pristine) else self.make()

    @cached_property
    def pristine(self) -> nn.Module:
        """The model as it was made; nothing is done to it."""
        return self.make()

    @cached_property
    def model(self) -> nn.Module:
        """The model that is run where nothing of it changes."""
        return self.fresh()

    @property
    def size(self) -> int:
        """How many parameters the model has, but for those whose shape is not known yet."""
        return sum(one.numel() for one in self.model.parameters() if not isinstance(one, UninitializedParameter))

    @property
    def plain_model(self) -> nn.Module | None:
        """The module of the runtime's models whose `forward` takes the batch; None for any other model."""
        made: nn.Module | None = getattr(self.model, "plain_model", None)
        return made

    @cached_property
    def precise(self) -> bool:
        """Whether the model runs in double precision, too."""
        model = self.fresh().double()
        batch = as_model(self.batch if self.has_loss else self.unlabelled, model)
        return call(model, batch).crash is None

    @cached_property
    def stirred(self) -> nn.Module:
        """A model in general position, see `probe_stir`; in double precision where that runs."""
        return self.fresh_stirred()

    def fresh_stirred(self) -> nn.Module:
        """Return another model like `stirred`, that may be changed."""
        model = self.fresh()
        return stir(model.double() if self.precise else model)

    def like(self, model: nn.Module) -> nn.Module:
        """Return another model with the same weights."""
        other = self.fresh()
        other.load_state_dict(model.state_dict(), strict=False)
        return other

    # batches

    @property
    def unlabelled(self) -> dict[str, Any]:
        """The batch as prediction gets it."""
        return without_targets(self.batch, self.contract)

    def round(self, number: int) -> dict[str, Any]:
        """Return a batch of other rows."""
        return dict(self.rows.batch(range(ROWS), number))

    @property
    def classes(self) -> int:
        """How many values a target may have."""
        if self.contract.uniform_over == "length":
            return int(self.batch["attention_mask"].sum(dim=1).min()) if "attention_mask" in self.batch else 2
        scores = entry(self.labelled.output or self.plain.output, next(iter(self.contract.outputs)))
        return scores.shape[-1] if isinstance(scores, Tensor) and scores.dim() > 1 else 2

    def lightning_batch(self, number: int) -> Any:
        """Return a batch as the steps of a Lightning module get it."""
        return self.rows.batch(range(ROWS), number)

    # runs

    def call(self, batch: Mapping[str, Any], *, model: nn.Module | None = None, **options: Any) -> Ran:
        """Run the model on a batch."""
        with self.given.fake():
            return call(self.model if model is None else model, batch, **options)

    @cached_property
    def plain(self) -> Ran:
        """The output for all rows without targets."""
        return self.call(self.unlabelled, doing="forward" if self.contract.needs_targets else "forward without labels")

    @cached_property
    def labelled(self) -> Ran:
        """The output for all rows with targets."""
        return self.call(self.batch, grad=True)

    @cached_property
    def trained(self) -> Ran:
        """The loss of a batch after forward in training mode and backward."""
        return backward(self.fresh(), self.batch)

    @cached_property
    def second_step(self) -> Ran:
        """The loss of a second batch, after a step of training on the first."""
        model = self.fresh()
        backward(model, self.batch).get()
        return backward(model, self.round(1))

    @cached_property
    def shape_problems(self) -> list[str]:
        """What is wrong with the output's type, fields and shapes."""
        return self._wrong(self.plain) or [f"{LABELLED}{problem}" for problem in self._wrong(self.labelled)]

    def _wrong(self, ran: Ran) -> list[str]:
        if ran.crash is not None:
            return []
        as_dict = dict_problems(ran.output) if self.plain_model is not None else []
        return as_dict or shape_violations(self.contract, ran.output, self.sizes(self.batch))

    @cached_property
    def unreadable(self) -> Ran | None:
        """The run whose output is wrong because it has no fields to read; None where there is none."""
        ran = self.plain if self._wrong(self.plain) else self.labelled
        is_dict = self.plain_model is not None and is_plain_dict(ran.output)
        return ran if ran.crash is None and (is_dict or not has_fields(self.contract, ran.output)) else None

    @property
    def remedy(self) -> str | None:
        """What to do about an unreadable output of the runtime's models, as training says it."""
        ran = self.unreadable if self.plain_model is not None else None
        return remedy(self.contract, ran.output) if ran else None

    @cached_property
    def loss_problems(self) -> list[str]:
        """What is wrong with the loss's type and shape."""
        return loss_violations(self.labelled.output) if self.labelled.crash is None else []

    @property
    def wider_outputs(self) -> list[str]:
        """The outputs that are wider numbers than the weights are."""
        ran = self.plain if self.plain.crash is None else self.labelled
        values = {name: entry(ran.output, name) for name in (*self.contract.outputs, "loss")} if not ran.crash else {}
        wide = [f"output.{name}" for name, value in values.items() if getattr(value, "dtype", None) == torch.float64]
        return [] if any(one.dtype == torch.float64 for one in self.model.parameters()) else wide

    def sizes(self, batch: Mapping[str, Any]) -> dict[str, int]:
        """Return the sizes of a batch's dimensions, as far as they are known without the output."""
        found = {"rows": count_rows(batch)}
        for key, value in batch.items():
            if isinstance(value, Tensor):
                found |= dict(zip(self.contract.shapes.get(key, ()), value.shape, strict=False))
        return found | dict(self.given.sizes)

    @property
    def has_loss(self) -> bool:
        """Whether a labelled batch has a loss that is a scalar."""
        return self.labelled.crash is None and not self.loss_problems

    @property
    def loss(self) -> Tensor:
        """The loss of the labelled batch; ask `has_loss` first."""
        loss: Tensor = entry(self.labelled.output, "loss")
        return loss

    def scores(self, model: nn.Module, batch: Mapping[str, Any], seed: int = SEED) -> dict[str, Tensor]:
        """Return the outputs of a model in evaluation mode, for comparison."""
        return scores_of(self.contract, call(model, batch, seed=seed).get(), batch)

    @cached_property
    def is_lightning(self) -> bool:
        """Whether the Trainer can run the model."""
        import lightning.pytorch as pl

        cls = type(self.model)
        return issubclass(cls, pl.LightningModule) and cls.training_step is not pl.LightningModule.training_step


def with_shift(contract: Contract, batch: Mapping[str, Any]) -> Contract:
    """Return the contract of a language model as its batches are: collate may have shifted the labels already."""
    if contract.causal != "input_ids" or "labels" not in batch:
        return contract
    ids, labels = batch["input_ids"], batch["labels"]
    kept = labels[:, :-1] != contract.ignore_index
    is_shifted = bool((labels[:, :-1] == ids[:, 1:])[kept].all()) and not bool((labels == ids).all())
    return replace(contract, shift=0 if is_shifted else 1)
