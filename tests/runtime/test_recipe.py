from __future__ import annotations

import pytest
import torch

from scaffold.errors import ArtefactError, ConfigError, RefusedError
from scaffold.runtime import build, load_model, model_class
from scaffold.runtime.training import checkpoints
from scaffold.runtime.training.checkpoint_io import DurableCheckpointIO
from scaffold.runtime.training.trainer import quiet_trainer


def trainer(**arguments):
    return quiet_trainer(accelerator="cpu", devices=1, plugins=[DurableCheckpointIO()], **arguments)


@pytest.fixture
def saved(made, tmp_path):
    """A trained model, its data, and its checkpoint, written as a run does."""

    def make(**changes):
        model, data = made(**changes)
        fitted = trainer(max_epochs=1)
        fitted.fit(model, data)
        path = tmp_path / "model.ckpt"
        fitted.save_checkpoint(path)
        return model.eval(), data, path

    return make


def refused(made, **changes):
    with pytest.raises(ConfigError) as found:
        made(**changes)
    assert found.value.exit_code == 2
    return found.value


# From the config


def test_a_fact_of_the_data_reaches_the_constructor_as_a_plain_number(made):
    model, _ = made()
    assert model.head.out_features == 2
    assert model.recipe.arguments["num_labels"] == 2
    assert type(model.recipe.arguments["num_labels"]) is int


def test_an_argument_that_the_constructor_does_not_take_is_refused_with_the_nearest(made):
    error = refused(made, model__sise=8)
    assert str(error.where) == "model.sise"
    assert error.what == "WindowModel takes no argument 'sise'"
    assert error.fix == "did you mean size?"


def test_whole_numbers_are_floats_where_the_constructor_is_annotated_so(windows, made):
    module = windows / "windows" / "model.py"
    code = module.read_text(encoding="utf-8") + (
        "\n\nclass Weighted(WindowModel):\n"
        "    def __init__(self, backbone, vocabulary, optim_conf, num_labels, weights: list[float] | None = None,\n"
        "                 rate: float = 0.5, sizes: list[int] | None = None, either: int | float = 0):\n"
        "        super().__init__(backbone, vocabulary, optim_conf, num_labels)\n"
        "        self.given = [*weights, rate, *sizes, either]\n"
    )
    module.write_text(code, encoding="utf-8")
    settings = {"weights": [1, 2.5], "rate": 1, "sizes": [3], "either": 4}
    given = made(model___target_="windows.model.Weighted", **{f"model__{name}": v for name, v in settings.items()})[
        0
    ].given
    assert [(value, type(value)) for value in given] == [
        (1.0, float),
        (2.5, float),
        (1.0, float),
        (3, int),
        (4, int),
    ]


def test_a_constructor_that_hands_on_whatever_it_gets_is_given_what_its_base_takes(windows, made):
    module = windows / "windows" / "model.py"
    code = module.read_text(encoding="utf-8") + (
        "\n\nclass Open(WindowModel):\n"
        "    def __init__(self, *args, num_labels, **kwargs):\n"
        "        super().__init__(*args, num_labels=num_labels, **kwargs)\n"
        "        self.given = sorted(kwargs)\n"
    )
    module.write_text(code, encoding="utf-8")
    model, _ = made(model___target_="windows.model.Open")
    assert {"backbone", "vocabulary", "optim_conf"} <= set(model.given)
    assert "context" not in model.given  # its base takes none
    assert model.head.out_features == 2


def test_a_constructor_with_further_arguments_of_its_own_is_given_nothing_that_its_base_can_do_without(windows, made):
    module = windows / "windows" / "model.py"
    code = module.read_text(encoding="utf-8") + (
        "\n\nclass Own(WindowTask, BaseModule):\n"
        "    def __init__(self, backbone, optim_conf, num_labels, **pool_options):\n"
        "        super().__init__(optim_conf=optim_conf)\n"
        "        self.given = sorted(pool_options)\n"
    )
    module.write_text(code, encoding="utf-8")
    model, _ = made(model___target_="windows.model.Own")
    assert not {"vocabulary", "context"} & set(model.given)


def test_an_argument_that_is_missing_is_named(made, config):
    settings = config()
    del settings.model.num_labels
    _, data = made()
    with pytest.raises(ConfigError, match="WindowModel needs the argument num_labels"):
        build(settings, data.context, data.backbone)


def test_what_the_config_sets_is_not_handed_in(windows, made):
    module = windows / "windows" / "model.py"
    code = module.read_text(encoding="utf-8") + (
        "\n\nclass Named(WindowModel):\n"
        "    def __init__(self, backbone, vocabulary, optim_conf, num_labels, context=None):\n"
        "        super().__init__(backbone, vocabulary, optim_conf, num_labels)\n"
        "        self.given = context\n"
    )
    module.write_text(code, encoding="utf-8")
    assert made(model___target_="windows.model.Named")[0].given.facts == {"num_labels": 2}
    assert made(model___target_="windows.model.Named", model__context="mine")[0].given == "mine"


def test_a_fact_that_the_data_does_not_know_is_refused_with_those_it_knows(made):
    error = refused(made, model__num_labels="${fact:num_classes}")
    assert "num_classes" in error.what
    assert "num_labels" in error.because


def test_a_value_from_the_environment_is_refused_and_never_shown(made, monkeypatch):
    monkeypatch.setenv("TOKEN", "s3cret")
    error = refused(made, model__notes="${oc.env:TOKEN}")
    assert str(error.where) == "model.notes"
    assert "s3cret" not in str(error)


@pytest.mark.parametrize(
    "target, what",
    [
        ("windows.model.NoModel", "'windows.model.NoModel' is not a model of this runtime"),
        ("windows.model.WindowTask", "'windows.model.WindowTask' is not a model of this runtime"),
        ("scaffold.runtime.BaseModule", "'scaffold.runtime.BaseModule' is not a model of this runtime"),
        ("windows.model.WindowModle", "there is no 'windows.model.WindowModle'"),
        ("os.system", "the target 'os.system' is not allowed"),
        (None, "the target None is not allowed"),
    ],
)
def test_a_target_that_is_no_model_is_refused(config, target, what):
    with pytest.raises(ConfigError) as found:
        model_class(config(model___target_=target))
    assert found.value.what == what


def test_a_pretrained_part_is_put_into_training_mode_and_a_frozen_one_left(windows, made):
    code = (windows / "windows" / "model.py").read_text(encoding="utf-8")
    code += (
        "\n\nclass Loaded(WindowModel):\n"
        "    def __init__(self, backbone, vocabulary, optim_conf, num_labels):\n"
        "        super().__init__(backbone, vocabulary, optim_conf, num_labels)\n"
        "        self.encoder.eval()\n"
        "        self.frozen = nn.Sequential(nn.Linear(2, 2), nn.Dropout()).eval().requires_grad_(False)\n"
    )
    (windows / "windows" / "model.py").write_text(code, encoding="utf-8")
    model, _ = made(model___target_="windows.model.Loaded")
    assert all(module.training for module in model.encoder.modules())
    assert not any(module.training for module in model.frozen.modules())


# From a checkpoint


def test_a_checkpoint_alone_gives_the_same_model(saved, monkeypatch, tmp_path):
    model, data, path = saved(model__size=8)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    again = load_model(path)
    assert not again.training
    assert again.recipe.arguments == model.recipe.arguments
    assert again.context.state() == model.context.state()
    batch = data.first_batch("validation")
    with torch.no_grad():
        assert torch.equal(again(**batch).logits, model(**batch).logits)


def test_lightnings_own_way_of_loading_is_the_same_way(saved):
    model, _, path = saved()
    again = type(model).load_from_checkpoint(path)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))


def test_a_model_that_was_loaded_can_be_saved_and_loaded_again(saved, tmp_path):
    _, data, path = saved()
    again = load_model(path)
    second = trainer()
    second.validate(again, data, verbose=False)
    second.save_checkpoint(tmp_path / "second.ckpt")
    third = load_model(tmp_path / "second.ckpt")
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), third.parameters(), strict=True))


def test_weights_that_no_longer_fit_the_code_are_refused_by_name(saved, windows, opened):
    _, _, path = saved()
    module = windows / "windows" / "model.py"
    code = module.read_text(encoding="utf-8")
    code = code.replace(
        "self.head = nn.Linear(self.encoder.config.hidden_size, num_labels)",
        "self.head = nn.Linear(2 * self.encoder.config.hidden_size, num_labels)\n"
        "        self.extra = nn.Linear(1, 1, bias=False)",
    )
    module.write_text(
        code + "\n# another size, so that the compiled module is not taken for this one\n", encoding="utf-8"
    )
    opened(windows)
    with pytest.raises(RefusedError) as found:
        load_model(path)
    assert (found.value.exit_code, found.value.code) == (3, "refused.weights")
    assert found.value.what == f"the weights in {path} no longer fit WindowModel"
    assert "missing in the file: extra.weight" in found.value.because
    assert "head.weight: shape (2, 16) in the file, (2, 32) in the code" in found.value.because


def test_a_checkpoint_of_another_program_is_no_model(tmp_path):
    checkpoints.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(ArtefactError, match="holds no model of this runtime") as found:
        load_model(tmp_path / "other.ckpt")
    assert found.value.exit_code == 5


def test_code_that_is_gone_is_named(saved, windows, opened):
    _, _, path = saved()
    module = windows / "windows" / "model.py"
    module.write_text(module.read_text(encoding="utf-8").replace("WindowModel", "RenamedModel"), encoding="utf-8")
    opened(windows)
    with pytest.raises(ConfigError, match=r"there is no 'windows\.model\.WindowModel'"):
        load_model(path)


# What a second look found


def test_each_model_keeps_a_record_of_its_own_encoder(made):
    first, _ = made()
    second, _ = made()
    assert first.recipe.backbone is not second.recipe.backbone


def test_a_run_folder_stands_for_its_best_checkpoint(saved, tmp_path):
    model, _, path = saved()
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    path.rename(folder / "best.ckpt")
    found = load_model(tmp_path / "run").state_dict()
    assert all(torch.equal(value, found[name]) for name, value in model.state_dict().items())


def test_code_that_takes_other_arguments_is_refused_as_outgrown(saved):
    _, _, path = saved()
    content = checkpoints.load(path)
    content["scaffold"]["arguments"] = {**content["scaffold"]["arguments"], "dropuot": 0.1}
    checkpoints.save(content, path)
    with pytest.raises(RefusedError, match="no longer fits the code") as found:
        load_model(path)
    assert "dropuot" in found.value.because
