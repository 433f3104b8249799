"""Plain models: their arguments are kept, a folder brings them back, and nothing in it runs code."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the field's own name for it

from scaffold.errors import ArtefactError, ConfigError, RefusedError
from scaffold.runtime import BaseModel, ClassificationOutput, ModelParams, build_model, register


class Named(BaseModel):
    """A linear layer over the mean of its inputs, with every kind of argument."""

    def __init__(self, size, /, labels=3, *, scale=1.0, names=(), **extra):
        super().__init__()
        self.layer = nn.Linear(size, labels)
        self.scale = scale

    def forward(self, inputs, labels=None):
        logits = self.layer(inputs) * self.scale
        return ClassificationOutput(logits=logits, loss=None if labels is None else self.criterion(logits, labels))

    @property
    def criterion(self):
        return F.cross_entropy


@register("plain-tied")
class Tied(BaseModel):
    def __init__(self, size: int = 4, tied: bool = True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, size)
        self.head = nn.Linear(size, size, bias=False)
        self.register_buffer("offset", torch.zeros(size))
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, input_ids, labels=None):
        return ClassificationOutput(logits=self.head(self.embedding(input_ids)) + self.offset)

    @property
    def criterion(self):
        return F.cross_entropy


IDS = torch.tensor([[0, 1, 2]])


def test_the_arguments_of_the_constructor_are_kept_without_help_of_the_author():
    model = Named(5, 2, scale=0.5, depth=7)
    assert model.init_arguments == {"size": 5, "labels": 2, "scale": 0.5, "names": (), "depth": 7}
    assert copy.deepcopy(model).init_arguments == model.init_arguments


def test_a_subclass_keeps_its_own_arguments():
    class Narrow(Tied):
        def __init__(self, width: int) -> None:
            super().__init__(size=2 * width)

    assert Narrow(3).init_arguments == {"width": 3}


def test_a_model_without_its_methods_cannot_be_made():
    class Half(BaseModel):
        def forward(self, inputs):
            return ClassificationOutput()

    with pytest.raises(TypeError, match="criterion"):
        Half()


def test_the_output_is_also_a_dict():
    output = Named(5)(torch.ones(2, 5), torch.tensor([0, 1]))
    assert set(output) == {"logits", "loss"}
    assert output["loss"] is output.loss
    assert "loss" not in Named(5)(torch.ones(2, 5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("tied", [True, False])
def test_a_saved_model_comes_back_with_the_same_logits(tmp_path, dtype, tied):
    torch.manual_seed(0)
    model = Tied(6, tied).to(dtype).eval()
    model.save_pretrained(tmp_path / "saved")
    again = BaseModel.from_pretrained(tmp_path / "saved")
    assert type(again) is Tied
    assert not again.training
    assert (again.head.weight is again.embedding.weight) == tied
    assert torch.equal(again(IDS).logits, model(IDS).logits)
    assert again(IDS).logits.dtype == dtype


def test_the_folder_says_what_it_holds(tmp_path):
    Tied().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert config["model_name"] == "plain-tied"
    assert config["class"] == f"{__name__}.Tied"
    assert config["arguments"] == {"size": 4, "tied": True}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_a_model_on_the_meta_device_has_no_weights():
    with torch.device("meta"):
        model = Tied()
    assert {one.device.type for one in model.parameters()} == {"meta"}
    assert model.init_arguments == {"size": 4, "tied": True}
    built = build_model(ModelParams("plain-tied", device_map="meta"))
    assert {one.device.type for one in built.parameters()} == {"meta"}


def test_an_argument_that_is_no_plain_data_cannot_be_saved(tmp_path):
    with pytest.raises(RefusedError) as problem:
        Named(5, names=nn.Linear(1, 1)).save_pretrained(tmp_path)
    assert str(problem.value) == (
        "error: Named cannot be saved with its argument names\n"
        "  because: config.json holds plain data, and it is a Linear\n"
        "  fix: take numbers, texts, lists and dicts, and build the rest in __init__"
    )
    assert list(tmp_path.iterdir()) == []


def changed(folder: Path, **entries: object) -> Path:
    """Save a model with some entries of its config.json changed."""
    Tied().save_pretrained(folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries), encoding="utf-8")
    return folder


def test_a_class_that_may_not_be_loaded_is_refused(tmp_path):
    folder = changed(tmp_path, model_name=None, **{"class": "os.system", "arguments": {"command": "touch pwned"}})
    with pytest.raises(RefusedError, match=r"the code has no model called os\.system"):
        BaseModel.from_pretrained(folder)


def test_another_class_than_the_saved_one_is_refused(tmp_path):
    Tied().save_pretrained(tmp_path)
    with pytest.raises(RefusedError, match=f"holds no Named(.|\n)*saved from {__name__}.Tied"):
        Named.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "entries, message",
    [
        ({"arguments": {"sise": 4}}, "Tied takes no argument 'sise'"),
        ({"arguments": {"size": 5}}, "size mismatch for embedding.weight"),
    ],
)
def test_code_that_has_changed_is_named(tmp_path, entries, message):
    with pytest.raises(RefusedError, match=message) as problem:
        BaseModel.from_pretrained(changed(tmp_path, **entries))
    assert problem.value.code == "refused.weights"


@pytest.mark.parametrize(
    "entries, message",
    [({"sha256": "0"}, "does not fit the sha256"), ({"arguments": []}, "its arguments is missing, or of another type")],
)
def test_a_damaged_folder_is_refused(tmp_path, entries, message):
    with pytest.raises(ArtefactError, match=message):
        BaseModel.from_pretrained(changed(tmp_path, **entries))


@pytest.mark.parametrize("text", ["[]", "{", "null"])
def test_a_config_that_is_none_is_refused(tmp_path, text):
    Tied().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ArtefactError, match="the saved model is damaged"):
        BaseModel.from_pretrained(tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(RefusedError, match=r"it has no config\.json"):
        BaseModel.from_pretrained(tmp_path)
    Tied().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ArtefactError, match="it is missing"):
        BaseModel.from_pretrained(tmp_path)


# build_model


def test_a_model_is_built_as_its_parameters_say():
    params = ModelParams("Plain_Tied", {"size": 6, "tied": False}, dtype="float64", freeze_layers=["embedding"])
    model = build_model(params)
    assert (type(model), model.head.weight.shape, model.head.weight.dtype) == (Tied, (6, 6), torch.float64)
    assert [name for name, one in model.named_parameters() if one.requires_grad] == ["head.weight"]
    assert model.training


def test_a_compiled_model_keeps_the_names_of_its_weights():
    model = build_model(ModelParams("plain-tied", compile=True))
    assert set(model.state_dict()) == {"embedding.weight", "head.weight", "offset"}
    assert model._compiled_call_impl is not None


def test_a_model_starts_with_the_weights_of_a_saved_one(tmp_path):
    saved = Tied()
    saved.save_pretrained(tmp_path)
    model = build_model(ModelParams("plain-tied", checkpoint=str(tmp_path), load_pretrained_weights=True))
    assert torch.equal(model.embedding.weight, saved.embedding.weight)


@pytest.mark.parametrize(
    "params, message",
    [
        ({"model_kwargs": {"sise": 3}}, r"did you mean size\?"),
        ({"model_kwargs": {"size": "3"}}, "model.model_kwargs.size cannot be '3'"),
        ({"freeze_layers": ["embeding"]}, r"did you mean embedding\?"),
        ({"device_map": "gpu"}, "there is no device 'gpu'"),
        ({"device_map": "cuda:99"}, "this machine has no device 'cuda:99'"),
        ({"model_name": "plain-function"}, "plain_function is not an nn.Module"),
    ],
)
def test_what_a_model_cannot_be_is_a_config_error(params, message):
    with pytest.raises(ConfigError, match=message):
        build_model(ModelParams(**{"model_name": "plain-tied", **params}))


@register("plain-function")
def plain_function():
    return None


@pytest.mark.parametrize(
    "params",
    [
        {"trust_remote_code": True},
        {"load_pretrained_weights": True},
        {"load_pretrained_weights": False, "checkpoint": "somewhere"},
    ],
)
def test_parameters_that_cannot_be_honoured_are_refused(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        ModelParams("plain-tied", **params)
