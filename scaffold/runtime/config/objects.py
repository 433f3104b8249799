"""The one door from configuration to objects: every key, target and argument is checked before anything is built."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

import scaffold.runtime
from scaffold.errors import ConfigError, Where, listed, nearest, shown
from scaffold.runtime.config.arguments import missing, parameters_of, refuse_arguments, unknown
from scaffold.runtime.config.errors import CONFIG_EXCEPTIONS, config_error

# where a class may be defined: a module re-exports whatever it imports (torch.optim.optimizer.functools), so both the
# written name and the home of what it leads to are checked
HOMES = (
    *(f"lightning.fabric.{part}" for part in ("loggers", "plugins", "strategies")),
    *(f"lightning.pytorch.{part}" for part in ("accelerators", "callbacks", "core", "loggers", "plugins", "profilers")),
    *(f"lightning.pytorch.{part}" for part in ("strategies", "trainer")),
    "scaffold.runtime",
    "torch.nn",
    "torch.optim",
    "torchmetrics",
    *(f"transformers.{part}" for part in ("configuration_utils", "data", "generation", "models", "optimization")),
    *(f"transformers.{part}" for part in ("trainer", "training_args", "training_args_seq2seq")),
)
LIBRARIES = {name.partition(".")[0] for name in HOMES}  # only their classes: among their functions is torch.load
# packages whose own names lead to such homes: lightning.pytorch.Trainer, transformers.BertConfig
SHORT = ("lightning.pytorch", "transformers")
# what would do the very things that the checks here refuse: build by name, run commands, read pickles, serve
CLOSED = (
    "scaffold.runtime.__main__",
    "scaffold.runtime.config.objects",
    "scaffold.runtime.console",
    "transformers.models.rag",
)
TRUSTED: set[str] = set()
SPECIAL = {"_target_", "_args_", "_partial_", "_recursive_", "_convert_"}


def compose(folder: str | Path, *overrides: str, name: str = "train") -> DictConfig:
    """Return the config of a `conf/` folder, as `train.py` gets it with these overrides on its command line."""
    try:
        with initialize_config_dir(str(Path(folder).absolute()), version_base="1.3"):
            config = hydra_compose(name, list(overrides))
    except CONFIG_EXCEPTIONS as error:
        raise config_error(error) from error
    trust(config.get("allow") or ())
    return config


def trust(packages: Iterable[str]) -> None:
    """Let targets lie in these packages too, from now on and in this process: what the config's `allow` lists.

    Errors: ConfigError for the standard library: no part of a model, but most of what a hostile config would call.
    """
    packages = list(packages)
    closed = [package for package in packages if package not in _open([package])]
    if closed:
        raise ConfigError(
            f"{listed(map(shown, closed))} cannot be allowed",
            because="the standard library stays closed to configs",
            fix="write a function in your own package that calls what you need",
            where=Where(key="allow"),
            code="config.allow",
        )
    TRUSTED.update(packages)


def plain(config: DictConfig, key: str) -> dict[str, Any]:
    """Return a section of the config as plain data, every `${…}` in it resolved."""
    try:
        section = OmegaConf.select(config, key, throw_on_missing=True)
        is_section = OmegaConf.is_config(section)
        data = OmegaConf.to_container(section, resolve=True, throw_on_missing=True) if is_section else section
    except CONFIG_EXCEPTIONS as error:
        raise config_error(error) from error
    if not isinstance(data, dict):
        raise ConfigError(
            f"the config has no section {key}" if data is None else f"{key} is not a section",
            because=f"expected keys with values, got {type(data).__name__}",
            fix=f"choose a file of conf/{key}/ in the defaults list of conf/train.yaml",
            where=Where(key=key),
        )
    _refuse_truth_keys(data, key)
    return data  # type: ignore[return-value]


def refuse_environment(config: DictConfig, key: str) -> None:
    """Raise ConfigError when a value of the section comes from the environment, however many references away."""
    used: list[str] = []
    with _environment_seen(used):
        for path in _visited(OmegaConf.select(config, key), key):
            if used:
                raise ConfigError(
                    "a value from the environment is not allowed here",
                    because=f"it refers to ${{oc.env:{used[0]}}}, and a checkpoint keeps this section with its values",
                    fix="write the value itself; keep secrets in sections that no checkpoint keeps",
                    where=Where(key=path),
                    code="config.environment",
                )


def allowed(target: str, extra: Iterable[str] = ()) -> bool:
    """Return whether a `_target_` may be written so: in a library for models, in the project, or below `extra`."""
    public = not any(part.startswith("_") for part in target.split("."))
    return public and (_is_below(target, (*HOMES, *_open(extra))) or target.rpartition(".")[0] in SHORT)


def locate(target: Any, key: str = "", extra: Iterable[str] = ()) -> Any:
    """Return the class or function that a `_target_` names.

    extra: further packages that are allowed, besides those of the current folder and those that `trust` was given.

    Errors: ConfigError when it may not be used or does not exist; an error inside the person's module passes unchanged.
    """
    own = (*_open(extra), *TRUSTED, *project_packages())
    if not isinstance(target, str) or not allowed(target, own):
        raise _refused(target, key, "its package is not one that may be built from", can_allow=True)
    found = _imported(target, key)
    home = f"{getattr(found, '__module__', None)}"
    is_class, is_function = isinstance(found, type), isinstance(found, FunctionType | MethodType)
    if not is_class and not is_function:
        raise _refused(target, key, f"it is a {type(found).__name__}, not a class or a function")
    if not _is_below(home, (*HOMES, *own)) or _is_below(home, CLOSED):
        raise _refused(target, key, f"it is defined in {home}")
    if is_function and home.partition(".")[0] in LIBRARIES and not _is_below(home, ("scaffold.runtime",)):
        raise _refused(target, key, "only classes may be used of this package, no functions")
    return found


def instantiate(config: Any, key: str = "", extra: Iterable[str] = (), **injected: Any) -> Any:
    """Build what a section describes: `_target_` is called with the other keys as arguments, nested ones first.

    injected: objects that the config cannot hold; the outer target gets those that it names and the config leaves out.
    `_partial_: true` gives a function still to be called, `_recursive_: false` leaves nested targets as they stand.
    Everything is checked before anything is built.
    """
    if OmegaConf.is_config(config):
        try:
            config = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        except OmegaConfBaseException as error:
            raise config_error(error) from error
    extra = tuple(extra)
    _check(config, key, extra, injected)
    return _built(config, key, extra, injected)


def project_packages(folder: str | Path = ".") -> tuple[str, ...]:
    """Return the packages that lie in a folder; names of libraries are left out."""
    found = (file.parent.name for file in Path(folder).glob("*/__init__.py"))
    return tuple(sorted(name for name in _open(found) if name not in LIBRARIES))


# Sections


def _refuse_truth_keys(node: Any, path: str) -> None:
    """Raise ConfigError for a key that YAML took for a truth value."""
    for name, value in _children(node):
        if isinstance(node, dict) and isinstance(name, bool):
            raise ConfigError(
                f"{path} has the key {str(name).lower()}, which is no text",
                because="YAML reads the words yes, no, on, off, true and false as truth values",
                fix="quote it, for example 'on': …",
                where=Where(key=path),
                code="config.key",
            )
        _refuse_truth_keys(value, f"{path}.{name}" if isinstance(node, dict) else f"{path}[{name}]")


def _visited(node: Any, path: str) -> Iterator[str]:
    """Yield the path of every value below a node, each after it was resolved, through references too."""
    if not OmegaConf.is_config(node):
        return
    for name in node.keys() if OmegaConf.is_dict(node) else range(len(node)):
        inner = f"{path}.{name}" if isinstance(name, str) else f"{path}[{name}]"
        try:
            value = node[name]
        except OmegaConfBaseException:
            value = None  # `plain` reports it, with its own cause
        yield inner
        yield from _visited(value, inner)


@contextmanager
def _environment_seen(used: list[str]) -> Iterator[None]:
    def see(name: str, *default: Any) -> Any:
        used.append(name)
        return oc.env(name, *default)

    OmegaConf.register_new_resolver("oc.env", see, replace=True)
    try:
        yield
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)


# Targets


def _is_below(name: str, prefixes: Iterable[str]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def _open(packages: Iterable[str]) -> list[str]:
    return [name for name in packages if name and name.partition(".")[0] not in sys.stdlib_module_names]


def _place(key: str) -> Where:
    return Where(key=key if key.endswith("_target_") else f"{key}._target_".lstrip("."))


def _refused(target: Any, key: str, because: str, *, can_allow: bool = False) -> ConfigError:
    package = target.partition(".")[0] if isinstance(target, str) else ""
    fix = "use it inside a class or function of your own package"
    if can_allow and package not in LIBRARIES and _open([package]):
        fix = f"run from the folder of {package}, or name {package} in `allow` if you trust it"
        if (name := str(target).rpartition(".")[2]) in scaffold.runtime.__all__:  # as classy's own path of it
            fix = f"did you mean scaffold.runtime.{name}?"
    return ConfigError(
        f"the target {shown(target)} is not allowed",
        because=because,
        fix=fix,
        where=_place(key),
        code="config.target",
    )


def _imported(target: str, key: str) -> Any:
    parts = target.split(".")
    found = _module(parts[0])
    for count, part in enumerate(parts[1:], 2):
        child = getattr(found, part, None) if found is not None else None
        if child is None and (found is None or isinstance(found, ModuleType)):
            child = _module(".".join(parts[:count]))
        if child is None:
            raise _not_found(target, key, found, part)
        found = child
    if found is None:
        raise _not_found(target, key, None, parts[0])
    return found


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # the module itself is missing, not one that it imports: that would be the person's own error
        if error.name and _is_below(name, (error.name,)):
            return None
        raise


def _not_found(target: str, key: str, parent: Any, part: str) -> ConfigError:
    if parent is None:
        because, near = f"there is no package {shown(target.partition('.')[0])}", None
    else:
        near = nearest(part, [name for name in dir(parent) if not name.startswith("_")])
        because = f"{getattr(parent, '__name__', parent)} has no {part}"
    return ConfigError(
        f"there is no {shown(target)}",
        because=because,
        fix=f"did you mean {target.replace(part, near)}?" if near else "correct the name, or install its package",
        where=_place(key),
        code="config.target",
    )


# Arguments


def _check(node: Any, key: str, extra: tuple[str, ...], injected: Mapping[str, Any], built: bool = True) -> None:
    is_dict = isinstance(node, dict)
    for name, child in _children(node):
        inner = f"{key}.{name}" if is_dict else f"{key}[{name}]"
        _check(child, inner.lstrip("."), extra, {}, built and (not is_dict or node.get("_recursive_", True)))
    if is_dict and "_target_" in node:
        target = locate(node["_target_"], key, extra)
        if built:  # else whoever builds it will know the rest of its arguments
            _check_call(target, node, key, injected)


def _check_call(target: Any, node: Mapping[str, Any], key: str, injected: Mapping[str, Any]) -> None:
    parameters = parameters_of(target)
    given = [name for name in node if name not in SPECIAL]
    lacking = [] if node.get("_partial_") else missing(parameters, [*given, *injected], len(node.get("_args_", ())))
    refuse_arguments(target, unknown(parameters, given), lacking, key)


def _children(node: Any) -> list[tuple[Any, Any]]:
    if isinstance(node, dict):
        return list(node.items())
    return list(enumerate(node)) if isinstance(node, list) else []


def _built(node: Any, key: str, extra: tuple[str, ...], injected: Mapping[str, Any]) -> Any:
    if isinstance(node, list):
        return [_built(item, f"{key}[{number}]", extra, {}) for number, item in enumerate(node)]
    if not isinstance(node, dict):
        return node
    if node.get("_recursive_", True):
        node = {name: _built(value, f"{key}.{name}", extra, {}) for name, value in node.items()}
    if "_target_" not in node:
        return node
    target = locate(node["_target_"], key, extra)
    given = {name: value for name, value in node.items() if name not in SPECIAL}
    surplus = unknown(parameters_of(target), injected)
    offered = {name: value for name, value in injected.items() if name not in surplus}
    make = functools.partial(target, *node.get("_args_", ()), **{**offered, **given})
    return make if node.get("_partial_") else make()
