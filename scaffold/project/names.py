"""Every spelling of a project's name, derived once, and the rules that a name must keep."""

from __future__ import annotations

import builtins
import keyword
import re
import sys
import unicodedata
from collections.abc import Container
from dataclasses import dataclass

from scaffold.errors import UsageError, shown

LONGEST_NAME = 63
PROJECT_GRAMMAR = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
PACKAGE_GRAMMAR = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What generated projects import, and what a person will install beside them: the package would hide it.
DEPENDENCIES = _words(
    """accelerate antlr4 bitsandbytes click copier cookiecutter datasets deepspeed diffusers evaluate faiss fsspec hydra
    hydra_core huggingface_hub ipykernel jinja2 jsonargparse jupyter lightning lightning_fabric lightning_utilities
    matplotlib mlflow mypy nltk numpy omegaconf onnx onnxruntime optuna packaging pandas peft pillow pip pyarrow
    pydantic pytest pytorch pytorch_lightning pyyaml ray regex requests rich ruff safetensors scaffold_ml scikit_learn
    scipy sentence_transformers sentencepiece setuptools sklearn spacy sympy tensorboard tensorflow tokenizers torch
    torchaudio torchmetrics torchvision tqdm transformers triton typing_extensions uv wandb wheel yaml"""
)
# What lies beside the package in a generated project, or is ignored by its .gitignore.
OWN_FILES = _words(
    """build checkpoints conf data demo dist docs env lightning_logs license makefile mlruns multirun notebooks outputs
    pyproject readme runs scaffold site src test tests train venv"""
)
WINDOWS_DEVICES = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)}
)
KEYWORDS = frozenset(word.lower() for word in (*keyword.kwlist, *keyword.softkwlist))
BUILTINS = frozenset(word.lower() for word in dir(builtins))
STANDARD_LIBRARY = frozenset(word.lower() for word in sys.stdlib_module_names)


@dataclass(frozen=True, slots=True)
class Names:
    """One name in the spelling of each place: folder, package and class."""

    project: str
    package: str
    class_name: str


def derive(project: str) -> Names:
    """Return every spelling of a project name, or raise UsageError with the rule that it breaks."""
    check_project(project)
    return Names(project, project.replace("-", "_"), class_name(project))


def class_name(project: str) -> str:
    """Return the spelling for classes: `my-2nd_model` gives `My2ndModel`."""
    return "".join(part[0].upper() + part[1:] for part in re.split("[-_]", project))


def check_project(name: str) -> None:
    """Raise UsageError unless a project, its package and its class may bear this name."""
    reason = broken_rule(name, PROJECT_GRAMMAR, "a-z, 0-9, and single '-' or '_' between them, starting with a letter")
    if reason:
        raise refused(name, "a project", reason, suggestion(name))


def check_package(name: str) -> None:
    """Raise UsageError unless a Python package inside a project may bear this name."""
    reason = broken_rule(name, PACKAGE_GRAMMAR, "a-z, 0-9, and single '_' between them, starting with a letter")
    if reason:
        raise refused(name, "a Python package", reason, suggestion(name).replace("-", "_"))


def check_class(names: Names, used: Container[str]) -> None:
    """Raise UsageError where a project's class would hide one that its own code uses."""
    if names.class_name in used:
        reason = f"its class would be called {names.class_name}, as one that the template's code uses"
        raise refused(names.project, "a project of this template", reason, f"{names.project[: LONGEST_NAME - 6]}-model")


def refused(name: str, bearer: str, because: str, better: str) -> UsageError:
    """Return the error of a name that its bearer cannot have."""
    return UsageError(
        f"{shown(name)} cannot be the name of {bearer}",
        because=because,
        fix=f"use another name, such as {better}",
        code="usage.name",
    )


def broken_rule(name: str, grammar: re.Pattern[str], allowed: str) -> str:
    """Return the first rule that a name breaks, as a phrase; empty where it keeps them all."""
    if not name:
        return "it is empty"
    if "/" in name or "\\" in name or name in {".", "..", "~"}:
        return "a name is not a path; choose the parent folder with --into"
    if len(name) > LONGEST_NAME:
        return f"it has {len(name)} characters; {LONGEST_NAME} are allowed"
    if not grammar.fullmatch(name):
        return f"allowed are {allowed}"
    return taken_by(name)


def taken_by(name: str) -> str:
    """Return what a well-formed name would hide or clash with, as a phrase; empty where it is free."""
    package = name.replace("-", "_")
    owners = (
        (KEYWORDS, "it is a keyword of Python"),
        (BUILTINS, "it would hide the builtin of that name"),
        (STANDARD_LIBRARY, f"it would hide the module {package!r} of Python's standard library"),
        (DEPENDENCIES, f"it would hide the package {package!r} that projects install or import"),
        (OWN_FILES, f"a project has or ignores a file or folder called {package!r} of its own"),
        (WINDOWS_DEVICES, "Windows reserves it for a device"),
    )
    for owned, reason in owners:
        if package in owned:
            return reason
    if hasattr(builtins, class_name(name)):
        return f"its class would be called {class_name(name)}, which hides the builtin of that name"
    return ""


def suggestion(name: str) -> str:
    """Return a valid project name close to a refused one."""
    folded = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", folded).lower()
    words = re.findall(r"[a-z0-9]+", spaced[: 2 * LONGEST_NAME])
    plain = "-".join(words)[: LONGEST_NAME - len("my--model")].strip("-") or "my-model"
    candidates = (plain, f"{plain}-model", f"my-{plain}-model", "my-model")
    return next(name for name in candidates if PROJECT_GRAMMAR.fullmatch(name) and not taken_by(name))
