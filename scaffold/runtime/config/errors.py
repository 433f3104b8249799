"""What Hydra, OmegaConf and the YAML parser say, as errors that name the key and what stands near it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    UnsupportedInterpolationType,
)
from yaml import YAMLError
from yaml.error import MarkedYAMLError

from scaffold.errors import ConfigError, ScaffoldError, Where, listed, nearest, shown
from scaffold.runtime.config.places import EXPERIMENT, headless
from scaffold.runtime.encoders.options import ScratchOptions

ARCHITECTURES = get_args(get_type_hints(ScratchOptions)["architecture"])
# Hydra's words where a file overrides a group and is not laid over the whole config
HEADLESS = re.compile(rf"In '({EXPERIMENT}/[^']+)': Could not override '[^'@]+@{EXPERIMENT}\b")
CONFIG_EXCEPTIONS = (HydraException, OmegaConfBaseException, YAMLError)


def config_error(error: BaseException) -> ScaffoldError:
    """Return what Hydra, OmegaConf or the YAML parser found, as an error that names the key and what is near it."""
    for inner in _chain(error):
        if isinstance(inner, ScaffoldError):
            return inner
    for inner in _chain(error):
        for kind, translate in _TRANSLATIONS:
            if isinstance(inner, kind):
                return translate(inner)
    what, _, rest = str(error).strip().partition("\n")
    if beside := HEADLESS.match(what):
        return headless(Path("conf", f"{beside[1]}.yaml"))
    return ConfigError(what or type(error).__name__, fix=" ".join(rest.split()) or "see the files of conf/")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _yaml_error(error: MarkedYAMLError) -> ConfigError:
    mark = error.problem_mark
    where = Where(file=mark.name, line=mark.line + 1) if mark else Where()
    return ConfigError(
        "the file is not valid YAML",
        because=error.problem or str(error),
        fix="correct this line; indent with spaces, and quote a text that holds : or #",
        where=where,
        code="config.yaml",
    )


def _option_error(error: MissingConfigException) -> ConfigError:
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    options = list(error.options or [])
    near = nearest(name, options)
    choice = f"name one of them, {group}=…" if options else "name a file of conf/, without .yaml"
    if group == "backbone" and name in ARCHITECTURES:
        choice = f"backbone.architecture={name}, which is one of backbone=scratch; or {choice}"
    return ConfigError(
        f"there is no {shown(name)} in conf/{group}",
        because=f"there are {listed(options)}" if options else str(error).strip().partition("\n")[0],
        fix=f"{group}={near}" if near else choice,
        where=Where(key=group or None),
        code="config.option",
    )


def _override_error(error: OverrideParseException) -> ConfigError:
    return ConfigError(
        f"{shown(error.override)} is not an override",
        because=str(error).strip().partition("\n")[0],
        fix="write key=value, and quote it where value holds blanks, commas, brackets or =: 'key=\"a, b\"'",
        code="config.override",
    )


def _key_error(error: ConfigAttributeError | ConfigKeyError) -> ConfigError:
    parent, key = error.parent_node, f"{error.full_key or error.key}"
    names = [str(name) for name in parent if name != "hydra"] if OmegaConf.is_dict(parent) else []
    near = nearest(error.key, names if "." in key else [*names, EXPERIMENT])  # a group that is no section
    path = f"{key.removesuffix(str(error.key))}{near}"
    own = f"write +{key}=… to add it"
    if "." not in key:
        own += f", if it is your own and something refers to ${{{key}}}"
    return ConfigError(
        f"the config has no key {shown(key)}",
        because=f"there are {listed(names, 20)}" if names else _first_line(error),
        fix=f"did you mean {path}?" if near else own,
        where=Where(key=key),
        code="config.key",
    )


def _value_error(error: OmegaConfBaseException) -> ConfigError:
    key = f"{error.full_key or error.key or ''}"
    line = _first_line(error)
    variable = re.search(r"Environment variable '(.*)' not found", line)
    fixes: dict[type[BaseException], str] = {
        MissingMandatoryValue: f"give it: {key}=…",
        InterpolationKeyError: "correct the reference, or add the key it names",
        UnsupportedInterpolationType: "use a resolver that is registered: oc.env, now, fact",
    }
    if variable:
        what, fix = f"the environment variable {variable[1]} is not set", f"export {variable[1]}=…"
    else:
        what, fix = line, fixes.get(type(error), "correct the value")
    return ConfigError(what, fix=fix, where=Where(key=key or None), code="config.value")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


_TRANSLATIONS: tuple[tuple[type[BaseException], Callable[[Any], ConfigError]], ...] = (
    (MarkedYAMLError, _yaml_error),
    (MissingConfigException, _option_error),
    (OverrideParseException, _override_error),
    (ConfigAttributeError, _key_error),
    (ConfigKeyError, _key_error),
    (OmegaConfBaseException, _value_error),
)
