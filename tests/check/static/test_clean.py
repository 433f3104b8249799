"""No static rule raises a false alarm on what the templates write."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scaffold.check import check_path
from scaffold.project import catalog
from scaffold.project.create import create
from scaffold.project.spec import build


def cases() -> Iterator[object]:
    """Yield every template with every choice, an awkward name and as a skeleton."""
    for template in map(catalog.find, catalog.template_names()):
        yield pytest.param(template.name, "my-2nd_model", {}, False, id=f"{template.name}, awkward name")
        yield pytest.param(template.name, "mymodel", {}, True, id=f"{template.name}, bare")
        for question in template.questions.values():
            for choice in question.choices if question.name != "licence" else ():
                title = f"{template.name}, {question.name}={choice}"
                yield pytest.param(template.name, "mymodel", {question.name: choice}, False, id=title)


@pytest.mark.parametrize("template, name, answers, bare", cases())
def test_a_new_project_has_nothing_but_the_stubs_that_were_asked_for(tmp_path, template, name, answers, bare):
    spec = build(catalog.find(template), name, answers, bare=bare, runtime_requirement="scaffold-ml[runtime]")
    report = check_path(create(spec, tmp_path / name, git=False).path, static=True)
    assert {finding.rule for finding in report.findings} == ({"stub"} if bare else set()), report
    left_open = {item.rule for item in report.not_checked}
    assert left_open <= {"unknown-target", "monitor", "dynamic"}, report
