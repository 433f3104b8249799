"""One typed file for model, data and training, as Oumi has it; it is laid over the project's `conf/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

from omegaconf import DictConfig, OmegaConf

from scaffold.errors import ConfigError, Where, listed, shown
from scaffold.runtime.config.errors import CONFIG_EXCEPTIONS, config_error
from scaffold.runtime.config.objects import compose
from scaffold.runtime.config.settings import Natural, Positive, Range, read_settings
from scaffold.runtime.plain.model_params import ModelParams
from scaffold.runtime.plain.registry import find, is_same_name, target_of
from scaffold.runtime.training.optim import Schedule

T = TypeVar("T")
Share = Annotated[float, Range(0)]
# what Oumi calls something that has another name here
OUMI_NAMES = {
    "torch_dtype_str": "dtype",
    "dataset_name": "dataset_path",
    "collator_name": "collate in the project's task.py",
    "metrics_function": "build_metrics in the project's task.py",
    "trainer_type": "train.py, train_hf.py or train_loop.py",
}
PLACES = {
    "output_dir": "run_dir",
    "num_train_epochs": "trainer.max_epochs",
    "per_device_train_batch_size": "data.batch_size",
    "gradient_accumulation_steps": "trainer.accumulate_grad_batches",
    "max_grad_norm": "trainer.gradient_clip_val",
    "learning_rate": "optim.optimizer.lr",
    "weight_decay": "optim.optimizer.weight_decay",
    "optimizer": "optim.optimizer._target_",
    "lr_scheduler_type": "optim.schedule",
    "warmup_steps": "optim.warmup",
    "seed": "seed",
}


@dataclass(frozen=True)
class DatasetParams:
    """A file of rows."""

    dataset_path: str


@dataclass(frozen=True)
class DatasetSplitParams:
    """The files of a split."""

    datasets: list[DatasetParams]


@dataclass(frozen=True)
class DataParams:
    """The splits; one that is left out is taken out of training, as `conf/data` says."""

    train: DatasetSplitParams
    validation: DatasetSplitParams | None = None
    test: DatasetSplitParams | None = None


@dataclass(frozen=True)
class TrainingParams:
    """How to train; what is left out stays as `conf/` has it.

    optimizer: a registered name, or a class's full path. lr_scheduler_type: constant, linear, cosine, or a registered
    name.
    """

    output_dir: str | None = None
    num_train_epochs: Positive | None = None
    per_device_train_batch_size: Positive | None = None
    gradient_accumulation_steps: Positive | None = None
    max_grad_norm: Share | None = None
    learning_rate: Share | None = None
    weight_decay: Share | None = None
    optimizer: str | None = None
    lr_scheduler_type: str | None = None
    warmup_steps: Natural | None = None
    seed: Natural | None = None


@dataclass(frozen=True)
class TrainingConfig:
    """All of a training in one file: `from_yaml` reads it, `compose` gives the config that `train` takes."""

    model: ModelParams
    data: DataParams | None = None
    training: TrainingParams = field(default_factory=TrainingParams)

    @classmethod
    def from_yaml(cls, path: str | Path, *overrides: str) -> TrainingConfig:
        """Read a file; overrides change single values: `training.learning_rate=1e-3`.

        Errors: ConfigError for a key that does not exist, with the nearest one, and for a value of another type.
        """
        try:
            config = OmegaConf.load(path)
            for override in overrides:
                _override(config, override)
            return _read(cls, OmegaConf.to_container(config, resolve=True), "")
        except CONFIG_EXCEPTIONS as error:
            raise config_error(error) from error
        except FileNotFoundError:
            raise ConfigError(
                f"there is no file {path}", fix="check its name", where=Where(file=str(path)), code="config.file"
            ) from None

    def to_yaml(self, path: str | Path) -> None:
        """Write what was set, so that `from_yaml` reads the same."""
        Path(path).write_text(OmegaConf.to_yaml(_without_null(asdict(self))), encoding="utf-8")

    def compose(self, folder: str | Path = "conf", *overrides: str) -> DictConfig:
        """Return the project's config with these settings in their places."""
        config = compose(folder, *overrides)
        same_model = is_same_name(str(config.model.get("model_name")), self.model.model_name)
        for place, value in self._settings().items():
            merge = place == "model.model_kwargs" and same_model
            OmegaConf.update(config, place, value, force_add=True, merge=merge)
        return config

    def _settings(self) -> dict[str, Any]:
        """Return each value that was set, under its place in the project's config."""
        untouched = ModelParams(self.model.model_name)
        model = {one.name: getattr(self.model, one.name) for one in fields(ModelParams)}
        found = {f"model.{name}": value for name, value in model.items() if value != getattr(untouched, name)}
        found["model.model_name"] = self.model.model_name
        for name, place in PLACES.items():
            value = getattr(self.training, name)
            if value is not None:
                found[place] = READ[name](value) if name in READ else value
        splits = asdict(self.data) if self.data else {}
        paths = {name: [one["dataset_path"] for one in split["datasets"]] for name, split in splits.items() if split}
        return found | ({"data.path": paths} if paths else {})


def _optimizer(name: str) -> str:
    return name if "." in name else target_of(name, "optimizer")


def _scheduler(name: str) -> str:
    return name if name in get_args(Schedule) else find(name, "scheduler").name


READ = {"optimizer": _optimizer, "lr_scheduler_type": _scheduler}


def _read(cls: type[T], values: Any, key: str) -> T:
    """Return plain data as a dataclass of dataclasses; ConfigError as for `from_yaml`."""
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"{key or 'the file'} cannot be {shown(values)}",
            because="expected keys with values",
            fix=f"name its keys: {listed(get_type_hints(cls))}",
            where=Where(key=key or None),
            code="config.value",
        )
    _refuse_other_names(values, key)
    hints = get_type_hints(cls)
    built = {name: _built(hints.get(name), value, f"{key}.{name}".lstrip(".")) for name, value in values.items()}
    return read_settings(cls, built, key)


def _built(hint: Any, value: Any, key: str) -> Any:
    kinds = [kind for kind in (hint, *get_args(hint)) if is_dataclass(kind)]
    if not kinds or value is None:
        return value
    if isinstance(value, list):
        return [_read(kinds[0], item, f"{key}[{number}]") for number, item in enumerate(value)]  # type: ignore[arg-type]
    return _read(kinds[0], value, key)  # type: ignore[arg-type]


def _refuse_other_names(values: Mapping[str, Any], key: str) -> None:
    for name in values:
        if name in OUMI_NAMES:
            place = f"{key}.{name}".lstrip(".")
            raise ConfigError(
                f"{place} has another name here",
                because="it is what Oumi calls it",
                fix=f"use {OUMI_NAMES[name]}",
                where=Where(key=place),
                code="config.key",
            )


def _override(config: Any, override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator:
        raise ConfigError(f"{shown(override)} is not an override", fix="write key=value", code="config.override")
    OmegaConf.update(config, key, OmegaConf.from_dotlist([f"value={value}"]).value, force_add=True)


def _without_null(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name: _without_null(value) for name, value in tree.items() if value is not None}
    return [_without_null(item) for item in tree] if isinstance(tree, list) else tree
