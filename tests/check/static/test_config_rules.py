"""Rules on the config: what it names exists, takes its keys, gets what it needs, and refers to what is there."""

from __future__ import annotations

import pytest

from scaffold.check import check_path


@pytest.mark.parametrize(
    "name, change, file, message",
    [
        ("conf_model", ("dropout: 0.3", "dropout: [0.3"), "conf/model/mymodel.yaml", "not valid YAML"),
        ("conf_train", ("optim: adamw", "optim: adam"), "conf/train.yaml", "there is no 'adam' in conf/optim"),
    ],
)
def test_a_config_that_does_not_compose_is_found(checked, name, change, file, message):
    [finding] = checked("config", **{name: change})
    assert finding.file == file
    assert message in finding.message


def test_rules_on_a_config_that_does_not_compose_say_so(project):
    (project / "conf" / "train.yaml").write_text("defaults: [nothing]\n", encoding="utf-8")
    left_out = {item.rule: item.reason for item in check_path(project).not_checked}
    assert left_out["unknown-argument"] == left_out["interpolation"] == "the config does not compose"
    assert left_out["dynamic"].startswith("the config does not compose")


@pytest.mark.parametrize(
    "old, new, fix",
    [
        ("mymodel.model.Mymodel", "mymodel.model.Mymodle", "Did you mean mymodel.model.Mymodel?"),
        ("mymodel.model.Mymodel", "mymodel.models.Mymodel", "Did you mean mymodel.model.Mymodel?"),
        ("mymodel.model.Mymodel", "mymodel.Mymodel", "Did you mean mymodel.model.Mymodel?"),
        ("mymodel.model.Mymodel", "nowhere_to_be_found.Model", "name nowhere_to_be_found in `allow`"),
    ],
)
def test_a_target_that_does_not_exist_is_found_with_what_was_meant(checked, old, new, fix):
    [finding] = checked("unknown-target", conf_model=(old, new))
    assert (finding.file, finding.line) == ("conf/model/mymodel.yaml", 2)
    assert fix in finding.fix


def test_a_target_of_the_runtime_that_does_not_exist_is_found(checked):
    [finding] = checked("unknown-target", conf_optim=("scaffold.runtime.TorchFactory", "scaffold.runtime.TorchFactry"))
    assert finding.fix == "Did you mean scaffold.runtime.TorchFactory?"


def test_a_target_that_the_package_passes_on_is_no_mistake(checked, project):
    (project / "mymodel" / "__init__.py").write_text("from .model import Mymodel as Renamed\n", encoding="utf-8")
    assert checked("unknown-target", conf_model=("mymodel.model.Mymodel", "mymodel.Renamed")) == []


def test_targets_of_other_packages_are_left_to_an_import(project):
    [item] = check_path(project, static=True, only=["unknown-target"]).not_checked[:1]
    assert "optim.optimizer = torch.optim.AdamW" in item.reason


@pytest.mark.parametrize(
    "rule, name, old, new, measured",
    [
        ("unknown-target", "conf/optim/adamw.yaml", "torch.optim.AdamW ", "torch.optim.Adamm ", "torch.optim.Adamm"),
        ("unknown-target", "conf/optim/adamw.yaml", "torch.optim.AdamW ", "torch.save ", "torch.save"),
        ("unknown-argument", "conf/optim/adamw.yaml", "weight_decay", "wait_decay", "optim.optimizer.wait_decay"),
        ("unknown-argument", "conf/trainer/default.yaml", "max_epochs", "max_epoch", "trainer.max_epoch"),
    ],
)
def test_other_packages_are_imported_where_the_model_is_run_too(project, rule, name, old, new, measured):
    path = project / name
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    assert check_path(project, static=True, only=[rule]).findings == ()
    report = check_path(project, only=[rule])
    [finding] = report.findings
    assert (finding.file, finding.measured) == (name, measured)
    assert report.not_checked == ()


@pytest.mark.parametrize(
    "name, old, new, measured, fix",
    [
        ("conf_model", "dropout: 0.3", "droput: 0.3", "model.droput", "Did you mean dropout?"),
        ("conf_task", "max_length: 256", "max_lenght: 256", "task.max_lenght", "Did you mean max_length?"),
        ("conf_data", "num_workers: 0", "workers: 0", "data.workers", "Did you mean num_workers?"),
        ("conf_backbone", "hidden_size: 128", "hidden: 128", "backbone.hidden", None),
        ("conf_optim", "warmup: 0.08", "warm_up: 0.08", "optim.warm_up", "Did you mean warmup?"),
    ],
)
def test_a_key_that_is_no_argument_is_found_in_every_section(checked, name, old, new, measured, fix):
    [finding] = checked("unknown-argument", **{name: (old, new)})
    assert finding.measured == measured
    assert finding.line
    assert fix is None or finding.fix == fix


def test_arguments_that_are_handed_on_are_those_of_the_base(checked):
    base = "class Mymodel(SequenceTask, BaseModule):"
    derived = '''class Wide(Mymodel):
    """Hands on what it does not know."""

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class Mymodel(SequenceTask, BaseModule):'''
    # the class comes first here, which Python would refuse, and reading does not
    [unknown, missing] = [
        checked(rule, model=(base, derived), conf_model=CONF)[0] if rule == "unknown-argument" else checked(rule)[0]
        for rule in ("unknown-argument", "missing-value")
    ]
    assert unknown.measured == "model.droput"
    assert missing.measured == "model.width"


CONF = "_target_: mymodel.model.Wide\nnum_labels: 3\ndroput: 0.1\noptim_conf: ${optim}\n"


@pytest.mark.parametrize("value", ["???", None])
def test_an_argument_without_a_value_is_found(checked, value):
    change = f"num_labels: {value}" if value else ""
    [finding] = checked("missing-value", conf_model=("num_labels: ${fact:num_labels} # from the training rows", change))
    assert "num_labels" in finding.message


def test_what_the_runtime_hands_in_needs_no_value(checked):
    change = ("optim_conf: Mapping[str, Any],", "optim_conf: Mapping[str, Any],\n        context: Any,")
    assert checked("missing-value", model=change) == []


@pytest.mark.parametrize(
    "name, old, new, message",
    [
        ("conf_model", "${optim}", "${optimizer}", "optimizer"),
        ("conf_model", "${optim}", "${optim.rate}", "optim.rate"),
        ("conf_model", "${fact:num_labels}", "${fact:num_label}", "the task's fit sets no fact num_label"),
        ("conf_train", "seed: 13", "seed: ${noww:13}", "noww"),
    ],
)
def test_a_reference_that_leads_nowhere_is_found(checked, name, old, new, message):
    [finding] = checked("interpolation", **{name: (old, new)})
    assert message in finding.message
    assert finding.severity == "error"


def test_a_variable_that_is_not_set_here_is_only_noted(checked):
    [finding] = checked("interpolation", conf_train=("seed: 13", "seed: ${oc.env:SEED_OF_NOBODY}"))
    assert finding.severity == "note"


@pytest.mark.parametrize(
    "facts",
    [
        'facts = {"num_labels": 3}\n        facts["extra"] = 1\n        return Context(options, None, None, facts)',
        "return Context(options, vocabulary, processor, facts=dict(num_labels=3, extra=1))",
        "context = super().fit(samples, options, processor)\n"
        '        return replace(context, facts={**context.facts, "num_labels": 3, "extra": 1})',
    ],
)
def test_facts_are_read_however_they_are_written(checked, project, facts):
    hook = f"    @classmethod\n    def fit(cls, samples, options, processor):\n        {facts}\n\n    def forward("
    assert (
        checked(
            "interpolation", model=("    def forward(", hook), conf_model=("dropout: 0.3", "dropout: ${fact:extra}")
        )
        == []
    )


def test_a_number_that_pyyaml_reads_as_a_text_is_found_where_pyyaml_reads(checked):
    reader = 'import yaml\n\nSWEEP = yaml.safe_load(open("sweep.yaml"))\n'
    [finding] = checked("yaml-string", sweep="lr: [1e-5, 1.0e-5]\nname: 'v1e-5'\nquoted: '1e-5'\n", extra=reader)
    assert (finding.file, finding.line, finding.measured, finding.severity) == ("sweep.yaml", 1, "1e-5", "error")
    assert "1.0e-5" in finding.fix


def test_hydra_reads_such_numbers_well(checked):
    assert checked("yaml-string", conf_optim=("lr: 2.0e-3", "lr: 2e-3")) == []
