"""Backbones: the encoder under a model and its tokenizer, made at random or loaded, and made again from plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from scaffold.errors import ConfigError, RefusedError, Where, shown

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

KINDS = ("scratch", "pretrained")


class Source(Protocol):
    """Where one kind of backbone comes from; a record is what one build leaves behind to be made again."""

    def options(self) -> dict[str, Any]:
        """Return the options as plain data."""
        ...

    def fit_processor(self, texts: Iterable[str]) -> PreTrainedTokenizerFast:
        """Return the tokenizer, trained on the texts or loaded."""
        ...

    def build(
        self, auto: str, overrides: Mapping[str, Any], tokenizer: PreTrainedTokenizerFast | None
    ) -> tuple[PreTrainedModel, dict[str, Any]]:
        """Return a new model and its record."""
        ...

    def rebuild(self, record: Mapping[str, Any], tokenizer: PreTrainedTokenizerFast | None) -> PreTrainedModel:
        """Return a model of the same modules as the recorded one, its weights still to be loaded."""
        ...


class Backbone:
    """What `conf/backbone` describes: `fit_processor` gives the tokenizer, `build` the encoder.

    kind: "scratch" starts at random and downloads nothing, "pretrained" loads a folder or a hub id. options: see
    `ScratchOptions` and `PretrainedOptions`.
    """

    def __init__(self, kind: str = "scratch", **options: Any) -> None:
        self.kind = kind
        self.tokenizer: PreTrainedTokenizerFast | None = None
        self._source = _source(kind, options)
        self._records: list[dict[str, Any]] = []
        self._to_rebuild: list[dict[str, Any]] | None = None

    def fit_processor(self, texts: Iterable[str]) -> PreTrainedTokenizerFast:
        """Return the tokenizer: trained on the texts, or the one that the pretrained model came with."""
        self.tokenizer = self._source.fit_processor(texts)
        return self.tokenizer

    def build(self, auto: str = "AutoModel", **overrides: Any) -> PreTrainedModel:
        """Make a model of transformers' Auto class `auto`, in training mode.

        overrides: entries of the model's configuration, such as `num_labels=3`, or `add_pooling_layer=True`, as an
        unused pooler is left out. A restored backbone, and any on the meta device, builds from configurations alone.

        Errors: ConfigError for what does not exist, EnvironmentFault for what cannot be had, RefusedError for code that
        asks a restored backbone for more than was built.
        """
        if self._to_rebuild is not None:
            return self._source.rebuild(self._next_record(auto), self.tokenizer).train()
        model, record = self._source.build(auto, overrides, self.tokenizer)
        self._records.append(record)
        return model.train()

    def unbuilt(self) -> Backbone:
        """Return the same backbone with nothing built yet: each model keeps a record of its own."""
        other = Backbone(self.kind, **self._source.options())
        other.tokenizer = self.tokenizer
        return other

    def state(self) -> dict[str, Any]:
        """Return kind, options and the configuration of everything built so far, as plain data."""
        return {"kind": self.kind, "options": self._source.options(), "builds": [dict(r) for r in self._records]}

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, Any],
        tokenizer: PreTrainedTokenizerFast | None = None,
        *,
        trust_remote_code: bool = False,
    ) -> Backbone:
        """Return a backbone whose `build` makes the recorded modules again, in the same order and without a network.

        trust_remote_code: whether a model may bring its own code; that a checkpoint says so is no permission.
        """
        options = dict(state["options"])
        if options.get("trust_remote_code"):
            options["trust_remote_code"] = trust_remote_code
        backbone = cls(state["kind"], **options)
        backbone.tokenizer = tokenizer
        backbone._records = [dict(record) for record in state["builds"]]
        backbone._to_rebuild = list(backbone._records)
        return backbone

    def _next_record(self, auto: str) -> dict[str, Any]:
        assert self._to_rebuild is not None
        if not self._to_rebuild or self._to_rebuild[0]["auto"] != auto:
            recorded = [record["auto"] for record in self._records]
            raise RefusedError(
                "the model's code no longer fits its checkpoint",
                because=f"the checkpoint recorded the backbones {recorded}, the code now asks for {shown(auto)}",
                fix="restore the code that wrote the checkpoint, or train again",
            )
        return self._to_rebuild.pop(0)


def _source(kind: str, options: Mapping[str, Any]) -> Source:
    # imported on use, so that each kind loads only what it needs of transformers
    if kind == "scratch":
        from scaffold.runtime.encoders.scratch_source import ScratchSource

        return ScratchSource(options)
    if kind == "pretrained":
        from scaffold.runtime.encoders.pretrained_source import PretrainedSource

        return PretrainedSource(options)
    raise ConfigError(
        f"no kind of backbone is called {shown(kind)}",
        because=f"the kinds are {' and '.join(KINDS)}",
        fix="set backbone=scratch or backbone=pretrained",
        where=Where(key="backbone.kind"),
    )
