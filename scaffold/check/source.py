"""What a check looks at: a generated project, or one class in one file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from scaffold.check.code import Class, Code, Module, typed
from scaffold.check.finding import Inapplicable
from scaffold.errors import ConfigError, UsageError, listed, nearest, shown

if TYPE_CHECKING:
    from scaffold.check.settings import Settings

EXAMPLE = "scaffold check model.py:MyModel --task sequence"


@dataclass(frozen=True)
class Source:
    """The code and config that are checked. task, file and target: of a class that is no project's; else None.

    imports: whether other packages may be imported to see what they have. overrides: what the config is composed with,
    as on the command line of `train.py`. experiment: the file of conf/experiment/ that is checked besides.
    """

    root: Path
    code: Code
    task: str | None = None
    file: Path | None = None
    target: str | None = None
    imports: bool = False
    overrides: tuple[str, ...] = ()
    experiment: str | None = None

    @property
    def is_project(self) -> bool:
        """Return whether a whole project is checked."""
        return self.file is None

    @property
    def modules(self) -> list[Module]:
        """Return the modules that are checked, without those that do not parse."""
        return [module for module in self.code.modules if module.error is None]

    @cached_property
    def config(self) -> Settings | ConfigError | None:
        """Return the composed config, or why it does not compose; None for a lone class."""
        if not self.is_project:
            return None
        from scaffold.check.settings import Settings
        from scaffold.runtime.config.objects import compose
        from scaffold.runtime.config.places import choices

        folder = self.root / "conf"
        try:
            return Settings(folder, compose(folder, *self.overrides), choices(folder, self.overrides))
        except ConfigError as error:
            return error

    @property
    def settings(self) -> Settings:
        """Return the config; for rules that `needs_config` lets through."""
        assert self.config is not None
        assert not isinstance(self.config, ConfigError)
        return self.config

    @cached_property
    def model(self) -> Class | None:
        """Return the model's class: the one that was named, or the one that `conf/model` names."""
        if self.file is not None:
            return next((cls for cls in self.code.modules[0].classes() if cls.node.name == self.target), None)
        if needs_config(self):
            return None
        section = self.settings.tree.get("model")
        name = section.get("_target_") if isinstance(section, dict) else None
        return self.code.find_class(name) if isinstance(name, str) else None


def needs_project(source: Source) -> str | None:
    """Say why a rule on a project's files cannot be checked."""
    return None if source.is_project else Inapplicable("a lone class has no project around it")


def needs_config(source: Source) -> str | None:
    """Say why a rule on the config cannot be checked."""
    if source.config is None:
        return Inapplicable("a lone class has no config")
    return "the config does not compose" if isinstance(source.config, ConfigError) else None


def needs_model(source: Source) -> str | None:
    """Say why a rule on the model's class cannot be checked."""
    return None if source.model else needs_config(source) or "the class of conf/model is not in the project"


def open_source(
    path: str | Path, task: str | None = None, *, imports: bool = False, overrides: tuple[str, ...] = ()
) -> Source:
    """Return what PATH stands for: the folder of a project, or `file.py:ClassName`.

    imports: whether other packages may be imported to see what they have. overrides: of a project's config.

    Errors: UsageError for a folder that is no project, for a file or class that does not exist, and for a lone class
    without a task.
    """
    text = str(path)
    name, colon, target = text.rpartition(":")
    if colon and name.endswith(".py"):
        return _lone_class(Path(name), target, task)
    folder = Path(text)
    if not folder.is_dir():
        raise _no_such(folder)
    if not (folder / "conf" / "train.yaml").is_file():
        raise UsageError(
            f"{shown(text)} is no project",
            because="it has no conf/train.yaml",
            fix=f"run it in the folder of a project, or name a class: {EXAMPLE}",
            code="usage.project",
        )
    folder = folder.resolve()
    return Source(folder, Code(folder, project_files(folder)), imports=imports, overrides=overrides)


def experiments(source: Source) -> Iterator[Source]:
    """Yield the project with each of its experiments, for a project whose own config is checked as it is."""
    folder = source.root / "conf" / "experiment"
    for path in sorted(folder.rglob("*.yaml")) if source.is_project and not source.overrides else ():
        name = path.relative_to(folder).with_suffix("").as_posix()
        yield replace(source, overrides=(f"experiment={name}",), experiment=name)


def project_files(root: Path) -> list[Path]:
    """Return the Python files of a project: its package, its scripts and its tests."""
    from scaffold.runtime.config.objects import project_packages

    folders = [*project_packages(root), "tests"]
    found = [*root.glob("*.py"), *(path for folder in dict.fromkeys(folders) for path in (root / folder).rglob("*.py"))]
    return sorted(found)


def _lone_class(file: Path, target: str, task: str | None) -> Source:
    if not file.is_file():
        raise UsageError(
            f"there is no file {shown(str(file))}",
            because="PATH is a project's folder or file.py:ClassName",
            fix="correct the path",
            code="usage.file",
        )
    file = file.resolve()
    root = next(folder for folder in file.parents if not (folder / "__init__.py").is_file())
    source = Source(root, Code(root, [file]), task, file, target)
    if source.model is None and source.modules:
        raise _no_class(source)
    return source


def _no_class(source: Source) -> UsageError:
    assert source.target is not None
    names = [cls.node.name for module in source.modules for cls in module.classes()]
    near = nearest(source.target, names)
    return UsageError(
        f"{typed(source.file or source.root)} has no class {shown(source.target)}",
        because=f"it has {listed(names)}" if names else "it has no class at all",
        fix=f"did you mean {near}?" if near else "name one of its classes",
        code="usage.class",
    )


def _no_such(path: Path) -> UsageError:
    is_file = path.is_file()
    names = _class_names(path) if is_file and path.suffix == ".py" else []
    example = f"scaffold check {path}:{names[0]} --task sequence" if names else EXAMPLE
    has = f"; it has {listed(names, 10)}" if names else ""
    return UsageError(
        f"{shown(str(path))} names no class" if is_file else f"there is no folder {shown(str(path))}",
        because=f"a file has to be followed by a colon and the class to check{has}"
        if is_file
        else "nothing has this path",
        fix=example if is_file else "correct the path",
        code="usage.class" if is_file else "usage.path",
    )


def _class_names(file: Path) -> list[str]:
    """Return the classes of a file, models first."""
    code = Code(file.resolve().parent, [file.resolve()])
    classes = list(code.modules[0].classes())
    return [cls.node.name for cls in sorted(classes, key=lambda cls: not code.is_module(cls))]
