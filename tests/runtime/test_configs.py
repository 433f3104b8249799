from __future__ import annotations

import functools
import importlib
import random
import sys
from dataclasses import dataclass

import pytest
import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scaffold.errors import ConfigError
from scaffold.runtime.config.arguments import check_arguments
from scaffold.runtime.config.errors import config_error
from scaffold.runtime.config.objects import (
    allowed,
    compose,
    instantiate,
    locate,
    plain,
    project_packages,
    refuse_environment,
    trust,
)
from scaffold.runtime.config.settings import check_types

GADGETS = """
os.system posix.system nt.system os.popen os.remove os.execv os.kill subprocess.Popen subprocess.run
subprocess.getoutput builtins.exec builtins.eval builtins.__import__ builtins.open builtins.compile builtins.getattr
eval exec open webbrowser.open pathlib.Path pathlib.Path.write_text pathlib.Path.unlink io.open shutil.rmtree
shutil.move tempfile.mkdtemp pickle.loads pickle.load marshal.loads shelve.open dill.loads cloudpickle.loads
joblib.load numpy.load numpy.memmap importlib.import_module importlib.__import__ runpy.run_path runpy.run_module
code.interact pdb.run timeit.timeit functools.partial functools.reduce operator.methodcaller operator.attrgetter
types.FunctionType ctypes.CDLL socket.socket urllib.request.urlopen http.server.HTTPServer ftplib.FTP smtplib.SMTP
asyncio.create_subprocess_shell multiprocessing.Process threading.Thread concurrent.futures.ProcessPoolExecutor
signal.signal sys.exit sys.setprofile torch.load torch.save torch.hub.load torch.hub.load_state_dict_from_url
torch.hub.download_url_to_file torch.jit.load torch.utils.cpp_extension.load torch.utils.cpp_extension.load_inline
torch.serialization.load torch.classes.load_library torch.ops.load_library torch.multiprocessing.spawn
torch.package.PackageImporter torch.distributed.run.main torch.utils.model_zoo.load_url torch.fx.GraphModule
torch.compile torch.from_file torch._C._cuda_init torch.optim.optimizer.functools.partial
torch.optim.lr_scheduler.types.FunctionType torch.optim.swa_utils.itertools.chain
torch.nn.modules.module.functools.partial torch.nn.modules.module.warnings.warn torch.nn.init.uniform_
torch.nn.parallel.distributed.os.system torch.nn.parallel.distributed.sys.exit torch.nn.Module.load_state_dict
torch.nn.modules.module.torch.load torch.optim.torch.load torch.optim.adamw.torch.hub.load
torch.nn.utils.clip_grad_norm_ lightning.pytorch.utilities.os.system lightning.pytorch.trainer.trainer.os.system
lightning.pytorch.cli.LightningCLI lightning.pytorch.core.saving.torch.load lightning.pytorch.core.module.pl_load
lightning.pytorch.core.saving.os.system lightning.pytorch.LightningModule.load_from_checkpoint
lightning.pytorch.callbacks.model_checkpoint.shutil.rmtree lightning.pytorch.callbacks.model_checkpoint.os.remove
lightning.pytorch.loggers.csv_logs.os.makedirs
lightning.pytorch.strategies.launchers.subprocess_script.subprocess.Popen
lightning.pytorch.accelerators.cuda.subprocess.run lightning.pytorch.seed_everything
lightning.pytorch.serve.ServableModuleValidator lightning.fabric.utilities.cloud_io._load
lightning_utilities.core.imports.importlib.import_module lightning.app.LightningApp
torchmetrics.utilities.data.sys.exit torchmetrics.metric.functools.partial torchmetrics.text.bert.os.system
torchmetrics.functional.text.rouge.urllib.request torchmetrics.utilities.imports.shutil.which transformers.os.system
transformers.utils.hub.os.system transformers.utils.import_utils.subprocess.run transformers.pipeline
transformers.AutoModel.from_pretrained transformers.dynamic_module_utils.get_class_from_dynamic_module
transformers.dynamic_module_utils.importlib.import_module transformers.utils.is_torch_available
transformers.models.auto.auto_factory.importlib.import_module transformers.trainer.os.remove
transformers.trainer.shutil.rmtree transformers.models.rag.retrieval_rag.pickle.load
transformers.models.rag.retrieval_rag.LegacyIndex scaffold.errors.shown scaffold.runtime.training.checkpoints.os.system
scaffold.runtime.training.checkpoints.torch.load scaffold.runtime.config.objects.instantiate
scaffold.runtime.config.objects.importlib.import_module scaffold.runtime.instantiate
scaffold.runtime.config.objects.locate
scaffold.runtime.console.sys.exit scaffold.cli.main hydra.utils.instantiate hydra.utils.call omegaconf.OmegaConf.load
yaml.unsafe_load fsspec.open jinja2.Template click.launch copier.run_copy
""".split()  # noqa: SIM905 - a list would take a page


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write a package into the current folder and return a function that adds modules to it."""
    name = f"project{abs(hash(tmp_path))}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def add(module, source):
        (folder / f"{module}.py").write_text(source)
        importlib.invalidate_caches()
        return f"{name}.{module}"

    yield add
    for loaded in [module for module in sys.modules if module.partition(".")[0] == name]:
        del sys.modules[loaded]


@pytest.mark.parametrize("target", GADGETS)
def test_a_gadget_is_refused(target, package):
    with pytest.raises(ConfigError) as caught:
        locate(target, "model")
    assert caught.value.where.key == "model._target_"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("target", GADGETS[:12])
@pytest.mark.parametrize("extra", [["os", "posix", "subprocess", "builtins"], [""], ["."]])
def test_the_standard_library_stays_closed_whatever_allow_says(target, extra):
    with pytest.raises(ConfigError):
        locate(target, "model", extra)


def test_a_thousand_callables_of_the_standard_library_are_refused():
    names = [
        f"{module}.{name}"
        for module in sorted(sys.stdlib_module_names & set(sys.modules))
        for name in vars(sys.modules[module])
        if callable(getattr(sys.modules[module], name, None))
    ]
    chosen = random.Random(0).sample(names, min(1000, len(names)))
    assert [name for name in chosen if allowed(name, ["os", *project_packages()])] == []


@pytest.mark.parametrize(
    "target",
    [
        "torch.nn.Linear",
        "torch.optim.AdamW",
        "torch.optim.lr_scheduler.StepLR",
        "lightning.pytorch.callbacks.EarlyStopping",
        "lightning.pytorch.loggers.CSVLogger",
        "lightning.pytorch.Trainer",
        "lightning.pytorch.strategies.DDPStrategy",
        "lightning.pytorch.plugins.environments.SLURMEnvironment",
        "torchmetrics.classification.MulticlassAccuracy",
        "transformers.BertConfig",
        "transformers.GenerationConfig",
        "scaffold.runtime.Vocabulary",
    ],
)
def test_what_models_are_made_of_is_found(target):
    assert isinstance(locate(target, "model"), type)


def test_classes_and_functions_of_the_project_are_found(package):
    module = package("parts", "class Head:\n    pass\n\ndef make_head():\n    return Head()\n")
    assert locate(f"{module}.Head", "model").__name__ == "Head"
    assert type(instantiate({"_target_": f"{module}.make_head"})).__name__ == "Head"


@pytest.mark.parametrize("name", ["os.system", "subprocess.Popen", "torch.load", "load", "Path", "partial", "VALUE"])
def test_what_a_module_of_the_project_imports_is_refused(package, name):
    module = package(
        "imports",
        "import os, subprocess, torch\nfrom functools import partial\nfrom pathlib import Path\n"
        "from torch import load\nVALUE = 3\n",
    )
    with pytest.raises(ConfigError, match="not allowed"):
        locate(f"{module}.{name}", "model")


def test_a_further_package_is_found_when_it_is_allowed():
    with pytest.raises(ConfigError) as caught:
        locate("numpy.poly1d", "model")
    assert "name numpy in `allow`" in caught.value.fix
    assert locate("numpy.poly1d", "model", ["numpy"]).__name__ == "poly1d"


def test_what_the_config_allows_is_found_from_then_on(conf, monkeypatch):
    monkeypatch.setattr("scaffold.runtime.config.objects.TRUSTED", set())
    compose(conf, "+allow=[numpy.polynomial]")
    assert locate("numpy.polynomial.Polynomial", "model").__name__ == "Polynomial"
    with pytest.raises(ConfigError):
        locate("numpy.poly1d", "model")


@pytest.mark.parametrize("target", ["torch.load", "torch.hub.load", "transformers.pipeline"])
def test_functions_of_the_libraries_stay_closed_whatever_is_allowed(target):
    with pytest.raises(ConfigError, match="not allowed"):
        locate(target, "model", ["torch", "transformers"])


@pytest.mark.parametrize("package", ["os", "builtins", "os.path", ""])
def test_the_config_cannot_allow_the_standard_library(package):
    with pytest.raises(ConfigError, match="cannot be allowed") as caught:
        trust(["numpy", package])
    assert caught.value.where.key == "allow"


@pytest.mark.parametrize(
    "target", [3, None, "", "Linear", ["torch.nn.Linear"], "torch", "torch.nn", "torch..nn", "../x"]
)
def test_what_is_no_target_is_refused(target):
    with pytest.raises(ConfigError):
        locate(target, "model")


def test_a_misspelt_target_names_the_near_one():
    with pytest.raises(ConfigError) as caught:
        locate("torch.optim.AdanW", "optim")
    assert str(caught.value) == (
        "error: there is no 'torch.optim.AdanW' [optim._target_]\n"
        "  because: torch.optim has no AdanW\n"
        "  fix: did you mean torch.optim.AdamW?"
    )


def test_a_class_of_the_runtime_under_another_package_is_told_by_its_own_name():
    with pytest.raises(ConfigError, match="is not allowed") as caught:
        locate("classy.optim.factories.TorchFactory", "optim")
    assert caught.value.fix == "did you mean scaffold.runtime.TorchFactory?"


def test_a_missing_package_is_named():
    with pytest.raises(ConfigError) as caught:
        locate("nosuchpackage.Model", "model", ["nosuchpackage"])
    assert caught.value.because == "there is no package 'nosuchpackage'"


def test_an_import_error_of_the_project_passes_unchanged(package):
    module = package("broken", "import nosuchpackage\n")
    with pytest.raises(ModuleNotFoundError, match="nosuchpackage"):
        locate(f"{module}.Model", "model")


def test_nested_targets_lists_and_references_are_built_as_plain_values():
    config = OmegaConf.create(
        {
            "width": 3,
            "model": {
                "_target_": "torch.nn.Sequential",
                "_args_": [{"_target_": "torch.nn.Linear", "in_features": "${width}", "out_features": 2}],
            },
        }
    )
    built = instantiate(config.model)
    assert built[0].weight.shape == (2, 3)
    assert type(built[0].in_features) is int


def test_containers_arrive_as_plain_data(package):
    module = package("keeper", "class Keeper:\n    def __init__(self, **options):\n        self.options = options\n")
    config = OmegaConf.create({"_target_": f"{module}.Keeper", "sizes": [1, {"a": 2}], "inner": {"b": [3]}})
    options = instantiate(config).options
    assert options == {"sizes": [1, {"a": 2}], "inner": {"b": [3]}}
    assert type(options["sizes"]) is list
    assert type(options["inner"]) is dict


def test_a_partial_is_called_later():
    make = instantiate({"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.5})
    assert isinstance(make, functools.partial)
    assert make([torch.zeros(1, requires_grad=True)]).param_groups[0]["lr"] == 0.5


def test_targets_below_a_section_that_is_not_recursive_stay_as_they_are_written(package):
    module = package(
        "keeper", "class Keeper:\n    def __init__(self, optim_conf):\n        self.optim_conf = optim_conf\n"
    )
    optim = {"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 0.1}
    built = instantiate({"_target_": f"{module}.Keeper", "_recursive_": False, "optim_conf": optim})
    assert built.optim_conf == optim


def test_injected_objects_go_where_they_are_named_and_give_way_to_the_config(package):
    module = package(
        "taker",
        "class Taker:\n    def __init__(self, vocabulary, size=1):\n        self.seen = (vocabulary, size)\n",
    )
    built = instantiate({"_target_": f"{module}.Taker", "size": 2}, vocabulary="words", size=3, backbone="encoder")
    assert built.seen == ("words", 2)


@pytest.mark.parametrize(
    "config",
    [
        {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "os.system", "command": "touch canary"}]},
        {"layers": [{"deep": {"_target_": "os.system", "command": "touch canary"}}]},
        {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": {"_target_": "os.system", "command": "x"}},
        {"_recursive_": False, "_target_": "torch.nn.Sequential", "_args_": [{"_target_": "os.system"}]},
        {"_partial_": True, "_target_": "os.system", "command": "touch canary"},
        {"name": "os.system", "a": {"_target_": "${name}", "command": "touch canary"}},
        {"parts": ["os", "system"], "a": {"_target_": "${parts[0]}.${parts[1]}", "command": "touch canary"}},
    ],
)
def test_no_hidden_target_runs(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"'os\.system' is not allowed"):
        instantiate(OmegaConf.create(config), "model")
    assert list(tmp_path.iterdir()) == []


def test_all_is_checked_before_anything_is_built(package):
    module = package("loud", "class Loud:\n    def __init__(self):\n        raise SystemExit('built')\n")
    with pytest.raises(ConfigError):
        instantiate({"a": {"_target_": f"{module}.Loud"}, "b": {"_target_": "os.system", "command": "true"}})


def test_an_unknown_argument_names_its_key_and_the_near_one():
    with pytest.raises(ConfigError) as caught:
        instantiate({"_target_": "torch.nn.Dropout", "pp": 0.1, "inplace": True}, "model.dropout")
    assert str(caught.value) == (
        "error: Dropout takes no argument 'pp' [model.dropout.pp]\n"
        "  because: it takes p, inplace\n"
        "  fix: did you mean p?"
    )


def test_all_wrong_arguments_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        instantiate({"layer": {"_target_": "torch.nn.Linear", "in_feature": 1, "biased": True}}, "model")
    assert caught.value.where.key == "model.layer.in_feature"
    assert list(caught.value.details) == [
        "Linear takes no argument 'biased'",
        "Linear needs the argument in_features",
        "Linear needs the argument out_features",
    ]


def test_a_missing_argument_is_named():
    with pytest.raises(ConfigError) as caught:
        check_arguments(torch.nn.Linear, ["in_features"], "model.head")
    assert caught.value.what == "Linear needs the argument out_features"
    assert caught.value.fix == "set model.head.out_features"


def test_an_error_inside_a_constructor_passes_unchanged(package):
    module = package("wrong", "class Wrong:\n    def __init__(self, size):\n        raise ValueError('size is odd')\n")
    with pytest.raises(ValueError, match=r"^size is odd$"):
        instantiate({"_target_": f"{module}.Wrong", "size": 3})


def test_a_section_comes_as_plain_data_with_its_references_resolved():
    config = OmegaConf.create(
        {"size": 3, "model": {"sizes": ["${size}", 4], "optim": "${optim}"}, "optim": {"lr": 0.1}}
    )
    assert plain(config, "model") == {"sizes": [3, 4], "optim": {"lr": 0.1}}


@pytest.mark.parametrize(
    "config, what",
    [
        ({}, "the config has no section model"),
        ({"model": None}, "the config has no section model"),
        ({"model": 3}, "model is not a section"),
        ({"model": {"a": "???"}}, "Missing mandatory value: a"),
        ({"model": {"a": "${b.c}"}}, "Interpolation key 'b.c' not found"),
        ({"model": {"a": "${model.b}", "b": "${model.a}"}}, "Recursive interpolation detected"),
        ({"model": {"a": "${nosuch:1}"}}, "Unsupported interpolation type nosuch"),
        ({"model": {"a": "${oc.env:SCAFFOLD_TEST_UNSET}"}}, "the environment variable SCAFFOLD_TEST_UNSET is not set"),
    ],
)
def test_a_section_that_cannot_be_read_names_its_key(config, what):
    with pytest.raises(ConfigError) as caught:
        plain(OmegaConf.create(config), "model")
    assert caught.value.what == what
    assert caught.value.where.key.startswith("model")
    assert caught.value.fix


def test_an_error_of_ours_inside_a_resolver_stays_what_it_is():
    def refuse():
        raise ConfigError("the data knows no such fact")

    OmegaConf.register_new_resolver("refuse", refuse, replace=True)
    with pytest.raises(ConfigError, match=r"^error: the data knows no such fact$"):
        plain(OmegaConf.create({"model": {"a": "${refuse:}"}}), "model")


@pytest.mark.parametrize(
    "config, key",
    [
        ({"model": {"token": "${oc.env:SCAFFOLD_TOKEN}"}}, "model.token"),
        ({"model": {"name": "a-${oc.env:SCAFFOLD_TOKEN}-b"}}, "model.name"),
        ({"model": {"list": [1, {"x": "${oc.env:SCAFFOLD_TOKEN}"}]}}, "model.list[1].x"),
        ({"model": {"a": "${other.b}"}, "other": {"b": "${third}"}, "third": "${oc.env:SCAFFOLD_TOKEN}"}, "model.a"),
        ({"model": {"optim": "${optim}"}, "optim": {"lr": {"x": "${oc.env:SCAFFOLD_TOKEN}"}}}, "model.optim.lr.x"),
        ({"model": {"n": "${oc.decode:${oc.env:SCAFFOLD_TOKEN}}"}}, "model.n"),
        ({"model": {"n": "${oc.select:other}"}, "other": "${oc.env:SCAFFOLD_TOKEN}"}, "model.n"),
        ({"model": {"n": "${oc.env:SCAFFOLD_TEST_UNSET,1}"}}, "model.n"),
        ({"model": {"n": "${oc.env:SCAFFOLD_TEST_UNSET}"}}, "model.n"),
        ({"model": {"n": "${.${.m}}", "m": "k", "k": "${oc.env:SCAFFOLD_TOKEN}"}}, "model.n"),
    ],
)
def test_values_from_the_environment_are_refused_however_far_away(config, key, monkeypatch):
    monkeypatch.setenv("SCAFFOLD_TOKEN", "secret-canary")
    with pytest.raises(ConfigError, match="environment") as caught:
        refuse_environment(OmegaConf.create(config), "model")
    assert caught.value.where.key == key
    assert "secret-canary" not in str(caught.value)


def test_the_environment_may_be_used_elsewhere(monkeypatch):
    monkeypatch.setenv("SCAFFOLD_TOKEN", "value")
    config = OmegaConf.create({"model": {"a": "${b}", "c": "???"}, "b": 1, "logger": "${oc.env:SCAFFOLD_TOKEN}"})
    refuse_environment(config, "model")
    assert config.logger == "value"


@pytest.fixture
def conf(tmp_path):
    folder = tmp_path / "conf"
    (folder / "model").mkdir(parents=True)
    (folder / "train.yaml").write_text(
        "defaults:\n  - _self_\n  - model: small\ntrainer:\n  max_epochs: 3\nname: ???\n"
    )
    (folder / "model" / "small.yaml").write_text("dropout: 0.1\n")
    (folder / "backbone").mkdir()
    (folder / "backbone" / "scratch.yaml").write_text("kind: scratch\n")
    return folder


def test_compose_gives_the_config_of_a_folder_with_overrides(conf):
    config = compose(conf, "trainer.max_epochs=5", "+model.width=2")
    assert config.trainer.max_epochs == 5
    assert config.model == {"dropout": 0.1, "width": 2}


@pytest.mark.parametrize(
    "override, message",
    [
        (
            "trainer.max_epoch=3",
            "error: the config has no key 'trainer.max_epoch' [trainer.max_epoch]\n"
            "  because: there are max_epochs\n"
            "  fix: did you mean trainer.max_epochs?",
        ),
        (
            "trainr.max_epochs=3",
            "error: the config has no key 'trainr' [trainr]\n"
            "  because: there are trainer, name, model\n"
            "  fix: did you mean trainer?",
        ),
        (
            "zzz=3",
            "error: the config has no key 'zzz' [zzz]\n  because: there are trainer, name, model\n"
            "  fix: write +zzz=… to add it, if it is your own and something refers to ${zzz}",
        ),
        (
            "trainer.zzz=3",
            "error: the config has no key 'trainer.zzz' [trainer.zzz]\n  because: there are max_epochs\n"
            "  fix: write +trainer.zzz=… to add it",
        ),
        (
            "model=other",
            "error: there is no 'other' in conf/model [model]\n  because: there are small\n"
            "  fix: name one of them, model=…",
        ),
        (
            "model=smal",
            "error: there is no 'smal' in conf/model [model]\n  because: there are small\n  fix: model=small",
        ),
        (
            "+backbone=bert",
            "error: there is no 'bert' in conf/backbone [backbone]\n  because: there are scratch\n"
            "  fix: backbone.architecture=bert, which is one of backbone=scratch; or name one of them, backbone=…",
        ),
        (
            "trainer.max_epochs",
            "error: 'trainer.max_epochs' is not an override\n"
            "  because: Error parsing override 'trainer.max_epochs'\n"
            "  fix: write key=value, and quote it where value holds blanks, commas, brackets or =: 'key=\"a, b\"'",
        ),
        (
            "+trainer.max_epochs=4",
            "error: Could not append to config. An item is already at 'trainer.max_epochs'.\n"
            "  fix: Either remove + prefix: 'trainer.max_epochs=4' Or add a second + to add or override "
            "'trainer.max_epochs': '++trainer.max_epochs=4'",
        ),
    ],
)
def test_a_wrong_override_is_explained(conf, override, message):
    with pytest.raises(ConfigError) as caught:
        compose(conf, override)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "text, line, because",
    [
        ("a: 1\n\tb: 2\n", 2, "that cannot start any token"),
        ("a: 1\nb: 2\na: 3\n", 3, "duplicate key a"),
        ("a: [1\nb: 2\n", 2, "expected ',' or ']'"),
    ],
)
def test_bad_yaml_names_file_and_line(conf, text, line, because):
    file = conf / "model" / "small.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="not valid YAML") as caught:
        compose(conf)
    assert (caught.value.where.file, caught.value.where.line) == (str(file), line)
    assert because in caught.value.because


@dataclass
class Trainer:
    epochs: int = 3


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("on: text", "data.columns"),
        ("deep: {no: 1}", "data.columns.deep"),
        ("deep: [{true: 1}]", "data.columns.deep[0]"),
    ],
)
def test_a_key_that_yaml_takes_for_a_truth_value_is_to_be_quoted(line, path):
    with pytest.raises(ConfigError, match=r"has the key (true|false), which is no text") as caught:
        plain(OmegaConf.create(f"data:\n  columns:\n    {line}\n"), "data")
    assert (caught.value.where.key, caught.value.fix) == (path, "quote it, for example 'on': …")
    assert plain(OmegaConf.create("data: {'on': text, 1: a}"), "data") == {"on": "text", 1: "a"}


def test_a_truth_value_where_a_text_is_meant_is_to_be_quoted():
    with pytest.raises(ConfigError, match=r"task\.language cannot be False") as caught:
        check_types({"language": str | None}, OmegaConf.create("language: no"), "task")
    assert caught.value.fix.startswith("quote it if a text is meant")
    with pytest.raises(ConfigError, match=r"task\.size cannot be False") as caught:
        check_types({"size": int}, {"size": False}, "task")
    assert caught.value.fix == "set task.size to such a value"


def test_a_wrong_type_names_key_and_value():
    with pytest.raises(OmegaConfBaseException) as caught:
        OmegaConf.merge(OmegaConf.structured(Trainer), {"epochs": "many"})
    error = config_error(caught.value)
    assert error.what == "Value 'many' of type 'str' could not be converted to Integer"
    assert error.where.key == "epochs"


def test_a_missing_main_config_is_named(tmp_path):
    with pytest.raises(ConfigError, match="there is no 'train' in conf/"):
        compose(tmp_path)
