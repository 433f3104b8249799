"""`scaffold check`: what it prints, how it ends, and what it refuses; the rules have tests of their own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from scaffold.check import Finding
from scaffold.check.rule import HALVES, rule_ids
from scaffold.check.static import stub
from scaffold.project import catalog
from scaffold.project.create import create
from scaffold.project.spec import build
from scaffold.runtime.contracts import FAMILIES

MODEL = """\
from torch import nn


class Model(nn.Module):
    def __init__(self, size: int = 8) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(100, size)
        self.unused = nn.Linear(8, 3)

    def forward(self, input_ids):
        {body}
"""
LONE = ("check", "model.py:Model", "--task", "sequence", "--static")


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = build(catalog.find("sequence-classifier"), "mymodel", {}, runtime_requirement="scaffold-ml[runtime]")
    return create(spec, tmp_path_factory.mktemp("check") / "mymodel", git=False).path


@pytest.fixture
def model(scaffold) -> None:
    Path("model.py").write_text(MODEL.format(body="return self.embedding(inputs)"), encoding="utf-8")


def test_a_project_without_mistakes_ends_with_0(scaffold, project):
    result = scaffold("check", str(project), "--static")
    assert result.code == 0, result
    assert "nothing found by" in result.out
    assert "dynamic: --static asks for the code alone" in result.out


def test_findings_end_with_10_and_begin_with_their_place(scaffold, model):
    result = scaffold(*LONE)
    assert result.code == 10
    assert result.out.startswith(
        "model.py:8: warning [unused-layer] self.unused is made and never used (measured: unused)\n"
    )
    assert "model.py:11: error [undefined-name] the name inputs is not defined anywhere" in result.out
    assert result.out.splitlines()[-1].startswith("1 error, 1 warning by ")


def test_what_has_an_equals_sign_changes_the_config_and_is_no_path(scaffold, project, monkeypatch):
    monkeypatch.chdir(project)
    result = scaffold("check", "--static", "--json", "+model.drop_out=0.1")
    assert [found["rule"] for found in json.loads(result.out)["findings"]] == ["unknown-argument"]


def test_warnings_fail_only_a_strict_check(scaffold, model):
    Path("model.py").write_text(MODEL.format(body="return self.embedding(input_ids)"), encoding="utf-8")
    assert scaffold(*LONE).code == 0
    assert scaffold(*LONE, "--strict").code == 10


def test_rules_can_be_chosen_and_left_out(scaffold, model):
    assert scaffold(*LONE, "--only", "stub,unused-layer").code == 0
    assert scaffold(*LONE, "--skip", "undefined-name").code == 0
    result = json.loads(scaffold(*LONE, "--only", "undefined-name", "--json").out)
    assert result["checked"] == ["undefined-name"]


def test_json_holds_findings_and_what_was_not_checked(scaffold, model):
    result = scaffold(*LONE, "--json")
    content = json.loads(result.out)
    assert result.code == 10
    fields = {"rule", "severity", "file", "line", "message", "measured", "why", "fix"}
    assert all(set(finding) == fields for finding in content["findings"])
    assert {"rule": "config", "reason": "a lone class has no project around it"} in content["not_checked"]


def test_github_gets_annotations(scaffold, model):
    result = scaffold(*LONE, "--github")
    assert result.code == 10
    assert result.out.startswith("::warning file=model.py,line=8,title=scaffold check%3A unused-layer::")


def test_a_file_that_is_no_python_is_a_finding(scaffold):
    Path("model.py").write_text("class Model(:\n", encoding="utf-8")
    result = scaffold("check", "model.py:Model", "--task", "sequence")
    assert result.code == 10
    assert "model.py:1: error [syntax-error]" in result.out
    assert "dynamic: model.py is not valid Python" in result.out


@pytest.mark.parametrize(
    "arguments, code, fix",
    [
        ([".", "--static"], "usage.project", "run it in the folder of a project"),
        (["nowhere"], "usage.path", "correct the path"),
        ([".", "elsewhere"], "usage.path", "check one after the other"),
        (["model.py:Model", "--task", "qa", "size=8"], "usage.option", "--init size=8"),
        (["model.py"], "usage.class", "scaffold check model.py:Model --task sequence"),
        (["missing.py:Model", "--task", "qa"], "usage.file", "correct the path"),
        (["model.py:Modle", "--task", "qa"], "usage.class", "did you mean Model?"),
        (["model.py:Model"], "usage.task", "--task sequence"),
        (["model.py:Model", "--task", "sequense"], "usage.task", "did you mean --task sequence?"),
        (["model.py:Model", "--task", "lm"], "usage.task", "did you mean --task language-model?"),
        (["model.py:Model", "--task", "seq2seq"], "usage.task", "did you mean --task generation?"),
        (["model.py:Model", "--task", "translation"], "usage.task", "did you mean --task generation?"),
        (["model.py:Model", "--task", "classification"], "usage.task", "did you mean --task sequence?"),
        (["model.py:Model", "--task", "NER"], "usage.task", "did you mean --task tokens?"),
        (["model.py:Model", "--task", "image_classification"], "usage.task", "did you mean --task image?"),
        (["model.py:Model", "--only", "nosuch"], "usage.rule", "`scaffold check --list-rules` shows them all"),
        (["model.py:Model", "--task", "qa", "--init", "size"], "usage.init", "--init hidden_size=8"),
        (["model.py:Model", "--task", "qa", "--init", "size=[1"], "usage.init", "--init hidden_size=8"),
        (["model.py:Model", "--task", "qa", "--init", "sise=3"], "usage.init", "did you mean --init size=3?"),
        (["model.py:Model", "--only", "unused-layers"], "usage.rule", "did you mean unused-layer?"),
        (["--explain", "hidden-states"], "usage.rule", "did you mean hidden-state?"),
        (["--github"], "usage", "drop one"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_was_meant(scaffold, model, arguments, code, fix):
    result = scaffold("check", *arguments, "--json")
    error = json.loads(result.out)["error"]
    assert result.code == error["exit"] == 2
    assert error["code"] == code
    assert fix in error["fix"]


def test_a_file_without_a_class_is_told_the_classes_it_has(scaffold, model):
    assert "it has Model" in scaffold("check", "model.py").err


def test_an_unknown_rule_is_told_some_that_exist(scaffold, model):
    assert "such as hidden-state, output-shape, padding" in scaffold(*LONE, "--only", "nosuch").err


def test_a_rule_that_fails_itself_ends_with_1_and_counts_as_no_check(scaffold, model, monkeypatch):
    def fail(_source: object) -> list[Finding]:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(stub, "RULE", replace(stub.RULE, find=fail))
    result = scaffold(*LONE, "--only", "stub,syntax-error")
    assert result.code == 1
    assert "stub: the rule itself failed, which is no fault of the model: RuntimeError: a fault of ours" in result.out
    assert result.out.splitlines()[-1] == "nothing found by 1 rule; 1 thing not checked; 1 rule failed itself"
    content = json.loads(scaffold(*LONE, "--only", "stub,syntax-error", "--json").out)
    assert (content["checked"], content["failed"]) == (["syntax-error"], ["stub"])
    assert scaffold(*LONE, "--only", "stub,undefined-name").code == 10


def test_what_does_not_apply_is_one_line(scaffold, model):
    out = scaffold(*LONE).out
    assert "does not apply here: config, interpolation, missing-value" in out
    assert "a lone class has no" not in out


def test_a_name_that_does_not_exist_is_said_once(scaffold, project, tmp_path):
    folder = Path(shutil.copytree(project, tmp_path / "misnamed"))
    path = folder / "conf" / "optim" / "adamw.yaml"
    path.write_text(
        path.read_text(encoding="utf-8").replace("torch.optim.AdamW", "torch.optim.Adamw"), encoding="utf-8"
    )
    content = json.loads(scaffold("check", str(folder), "--json").out)
    assert [finding["rule"] for finding in content["findings"]] == ["unknown-target"]
    assert content["findings"][0]["fix"] == "did you mean torch.optim.AdamW?"
    assert "padding" in content["checked"]


def test_the_page_says_what_each_family_has():
    page = (Path(__file__).parents[2] / "docs" / "check.md").read_text(encoding="utf-8")
    for contract in FAMILIES.values():
        [line] = [line for line in page.splitlines() if line.startswith(f"| `{contract.family}` |")]
        cells = [cell.strip() for cell in line.strip("|").split("|")][1:]
        shapes = {**contract.shapes, **contract.outputs}
        parts = (contract.inputs, contract.optional, contract.targets, contract.outputs)
        assert cells == [", ".join(f"`{key}` ({', '.join(shapes[key])})" for key in keys) or "–" for keys in parts]


def test_a_project_takes_no_options_of_a_lone_class(scaffold, project):
    result = scaffold("check", str(project), "--task", "sequence")
    assert result.code == 2
    assert "a project takes neither --task nor --init" in result.err


def test_all_rules_are_listed_and_explained(scaffold):
    listed = scaffold("check", "--list-rules").out
    ids = [name for half in HALVES for name in rule_ids(half)]
    assert [line.split()[0] for line in listed.splitlines()] == ids
    explained = scaffold("check", "--explain", "hidden-state").out
    assert explained.startswith("hidden-state (error, static)\n\nA module holds layers")
    assert "Use instead:" in explained
    assert json.loads(scaffold("check", "--explain", "stub", "--json").out)["id"] == "stub"
    assert len(json.loads(scaffold("check", "--list-rules", "--json").out)["rules"]) == len(ids)


@pytest.mark.parametrize(
    "arguments, absent",
    [
        (["--list-rules"], ["torch", "lightning", "transformers", "hydra"]),
        (["--explain", "stub"], ["torch", "lightning", "transformers", "hydra"]),
        (["--help"], ["torch", "lightning", "transformers", "hydra", "scaffold.check.code"]),
        (["--static"], ["torch", "lightning", "transformers"]),
    ],
)
def test_what_runs_no_model_loads_no_torch(project, arguments, absent):
    code = (
        "import sys\nfrom scaffold.cli import main\n"
        f"assert main(['check', *{arguments}]) == 0\n"
        f"assert not set({absent}) & set(sys.modules), sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=project, check=True, capture_output=True)


def test_without_torch_the_other_half_says_so(project, tmp_path):
    code = (
        "import sys\nfrom importlib.machinery import PathFinder\n"
        "find = PathFinder.find_spec.__func__\n"
        "hide = lambda cls, name, *more: None if name == 'torch' else find(cls, name, *more)\n"
        "PathFinder.find_spec = classmethod(hide)\n"
        "from scaffold.cli import main\nsys.exit(main(['check']))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result
    assert "dynamic: torch is not installed" in result.stdout


def test_a_project_elsewhere_is_named_as_it_was_typed(scaffold, project):
    shutil.copytree(project, "copy")
    with Path("copy/mymodel/model.py").open("a", encoding="utf-8") as file:
        file.write("\nprint(nothing)\n")
    assert scaffold("check", "copy", "--static").out.startswith("copy/mymodel/model.py:")
