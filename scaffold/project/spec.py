"""What is to be written: one frozen description of a project, complete and valid before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import scaffold
from scaffold.project import names, questions, requirement, spelling
from scaffold.project.catalog import Template, used_classes
from scaffold.project.questions import Answer, is_met


@dataclass(frozen=True, slots=True)
class ProjectSpec:
    """A template with every question answered, under one name."""

    template: Template
    names: names.Names
    answers: Mapping[str, Answer]
    bare: bool
    requirement: str

    def context(self) -> dict[str, Any]:
        """Return all that templates may refer to, flat; texts stand in one spelling per format."""
        facts: dict[str, Any] = {
            **known_names(self.template, self.names),
            "template_version": self.template.version,
            "runtime_version": scaffold.__version__,
            "bare": self.bare,
        }
        for key, answer in self.answers.items():
            facts |= spelling.spelled(key, answer)
        data = {
            key: questions.filled(value, facts) if isinstance(value, str) else value
            for key, value in self.template.data.items()
        }
        return {**data, **facts, **spelling.spelled("runtime_requirement", self.requirement)}

    def choices(self) -> dict[str, str]:
        """Return the answers as the names of conditional layers spell them."""
        values: dict[str, Answer] = {**self.answers, "bare": self.bare}
        return {key: str(value).lower() if isinstance(value, bool) else value for key, value in values.items()}

    def runtime_extras(self) -> list[str]:
        """Return the extras of the runtime that the project needs: the template's, and those of its answers."""
        asked = self.template.data.get("runtime_extras_when", {}).items()
        more = (extra for condition, extras in asked if is_met(condition, self.choices()) for extra in extras)
        return [*self.template.data.get("runtime_extras", ()), *more]


def build(
    template: Template,
    project: str,
    given: Mapping[str, object],
    *,
    bare: bool = False,
    runtime_requirement: str | None = None,
) -> ProjectSpec:
    """Return the spec of a project, defaults filled in; UsageError says what is wrong with its name or answers."""
    spellings = names.derive(project)
    names.check_class(spellings, used_classes(template))
    answers = complete(template, spellings, questions.read_answers(template.questions, given))
    spellings = replace(spellings, package=str(answers.get("package", spellings.package)))
    spec = ProjectSpec(template, spellings, answers, bare, requirement="")
    if runtime_requirement is None:
        runtime_requirement = requirement.runtime(spec.runtime_extras())
    return replace(spec, requirement=runtime_requirement)


def complete(template: Template, spellings: names.Names, answers: Mapping[str, Answer]) -> dict[str, Answer]:
    """Return an answer to every question, in the template's order: the given one, or the default."""
    known = known_names(template, spellings)
    return {
        name: answers[name] if name in answers else question.read(question.default_for(known))
        for name, question in template.questions.items()
    }


def known_names(template: Template, spellings: names.Names) -> dict[str, Answer]:
    """Return what the default of a question may refer to."""
    return {
        "project": spellings.project,
        "package": spellings.package,
        "class_name": spellings.class_name,
        "template": template.name,
    }
