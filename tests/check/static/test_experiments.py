"""The config of each experiment is checked beside the default one, at the lines of its own file."""

from __future__ import annotations

import pytest

from scaffold.check import check_path
from scaffold.errors import UsageError

BROKEN = """\
# @package _global_
optim:
  warm_up: 0.1
model:
  dropout: ${nothing}
monitor: val/acc
"""


@pytest.fixture
def experiment(project):
    """Write an experiment of the project."""

    def write(text, name="own"):
        path = project / "conf" / "experiment" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return project

    return write


def test_what_is_wrong_in_an_experiment_stands_at_its_line(experiment):
    found = check_path(experiment(BROKEN), static=True).findings
    assert {(one.rule, one.line) for one in found} == {("unknown-argument", 3), ("interpolation", 5), ("monitor", 6)}
    assert {one.file for one in found} == {"conf/experiment/own.yaml"}
    assert all(one.message.endswith(", with experiment=own") for one in found)


def test_a_key_that_nothing_reads_is_found_in_every_file(experiment):
    project = experiment("# @package _global_\noptm:\n  warmup: 0.1\nseeed: 1\n")
    path = project / "conf" / "train.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("patience:", "patince:"), encoding="utf-8")
    found = {(one.file, one.line, one.fix) for one in check_path(project, static=True).findings}
    assert {place for place in found if "experiment" in place[0]} == {
        ("conf/experiment/own.yaml", 2, "did you mean optim?"),
        ("conf/experiment/own.yaml", 4, "did you mean seed?"),
    }
    assert [fix for file, _, fix in found if file == "conf/train.yaml"] == ["did you mean patience?"]


def test_a_key_that_something_refers_to_is_no_mistake(experiment):
    text = "# @package _global_\nsize: 8\nbackbone:\n  hidden_size: ${size}\n"
    assert check_path(experiment(text), static=True).findings == ()


def test_an_experiment_in_a_folder_has_the_folder_in_its_name(experiment):
    found = check_path(experiment(BROKEN, "first/own"), static=True).findings
    assert {one.file for one in found} == {"conf/experiment/first/own.yaml"}
    assert "with experiment=first/own" in found[0].message


def test_a_mistake_of_the_default_config_is_said_once(experiment):
    project = experiment("# @package _global_\npatience: 2\n")
    path = project / "conf" / "model" / "mymodel.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("dropout:", "drop_out:"), encoding="utf-8")
    [found] = check_path(project, static=True).findings
    assert (found.rule, found.file) == ("unknown-argument", "conf/model/mymodel.yaml")


def test_a_file_that_an_experiment_alone_chooses_is_checked_at_its_line(experiment, project):
    (project / "conf" / "optim" / "other.yaml").write_text("_target_: scaffold.runtime.TorchFactri\n", encoding="utf-8")
    text = "# @package _global_\ndefaults:\n  - override /optim: other\n"
    [found] = check_path(experiment(text), static=True, only=["unknown-target"]).findings
    assert (found.file, found.line) == ("conf/optim/other.yaml", 1)


def test_an_experiment_that_does_not_compose_is_found(experiment):
    text = "# @package _global_\ndefaults:\n  - override /optim: adamwww\n"
    [found] = check_path(experiment(text), static=True).findings
    assert found.rule == "config"
    assert "with experiment=own" in found.message


def test_what_an_experiment_leaves_to_the_command_line_is_no_mistake(experiment):
    assert check_path(experiment("# @package _global_\nmodel:\n  dropout: ???\n"), static=True).findings == ()


def test_overrides_choose_the_config_that_is_checked(experiment):
    project = experiment(BROKEN)
    assert check_path(project, static=True, overrides=["experiment=smoke"]).findings == ()
    found = check_path(project, static=True, overrides=["experiment=own"]).findings
    assert {one.line for one in found} == {3, 5, 6}
    assert "experiment=" not in found[0].message


def test_an_override_that_does_not_fit_is_found(project):
    found = check_path(project, static=True, overrides=["+model.drop_out=0.1"]).findings
    assert [one.rule for one in found] == ["unknown-argument"]


def test_a_lone_class_takes_no_override(project):
    with pytest.raises(UsageError, match="a lone class takes no 'hidden_size=8'") as caught:
        check_path("mymodel/model.py:Mymodel", task="sequence", overrides=["hidden_size=8"])
    assert caught.value.fix == "give its constructor an argument: --init hidden_size=8"
