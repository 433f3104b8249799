"""What a project registers by name is checked like what its config names by path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scaffold.check import Finding, check_path
from scaffold.project import catalog
from scaffold.project.create import create
from scaffold.project.spec import build

CONF, MODEL, OPTIM = "conf/model/mymodel.yaml", "mymodel/model.py", "conf/optim/adamw.yaml"
ADAM = """

from scaffold.runtime import register


@register("my-adam", "optimizer")
def my_adam(parameters, lr=0.1):
    return torch.optim.AdamW(parameters, lr)
"""


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Finding]]:
    """Make a project with a registered model, change one file of it, and return what the static half finds."""

    def check(file: str, old: str, new: str, template: str = "encoder") -> list[Finding]:
        spec = build(catalog.find(template), "mymodel", {}, runtime_requirement="scaffold-ml[runtime]")
        folder = create(spec, tmp_path / "mymodel", git=False).path
        monkeypatch.chdir(folder)
        text = (folder / file).read_text(encoding="utf-8")
        assert text.count(old) == 1
        (folder / file).write_text(text.replace(old, new), encoding="utf-8")
        return list(check_path(".", static=True).findings)

    return check


@pytest.mark.parametrize(
    "template, file, old, new, rule, line, fix",
    [
        ("encoder", CONF, "  dropout:", "  drop_out:", "unknown-argument", 8, "Did you mean dropout?"),
        ("image-classifier", CONF, "  dropout:", "  drop_out:", "unknown-argument", 9, "Did you mean dropout?"),
        ("encoder", CONF, "\nmodel_kwargs:", "\nmodel_kwarg:", "unknown-argument", 4, "Did you mean model_kwargs?"),
        ("encoder", CONF, 'name: "mymodel"', "name: mymodle", "unknown-target", 3, "Did you mean mymodel?"),
        ("encoder", MODEL, "self, input_ids: Tensor,", "self, input_idz: Tensor,", "forward-keys", 27, "input_ids?"),
        ("encoder", OPTIM, "torch.optim.AdamW", "${registered:adm,optimizer}", "unknown-target", 3, "@register"),
    ],
)
def test_a_misspelt_name_is_found_at_its_line(found, template, file, old, new, rule, line, fix):
    first = next(one for one in found(file, old, new, template) if one.rule == rule)
    assert (first.file, first.line) == (file, line)
    assert fix in first.fix


def test_what_is_registered_is_no_mistake(found, tmp_path):
    assert not found(MODEL, "        return F.cross_entropy\n", f"        return F.cross_entropy\n{ADAM}")
    optim = tmp_path / "mymodel" / OPTIM
    text = optim.read_text(encoding="utf-8").replace("torch.optim.AdamW", "${registered:My_Adam,optimizer}")
    optim.write_text(text, encoding="utf-8")
    assert not check_path(tmp_path / "mymodel", static=True).findings
