"""Keys at the top of the config that nothing reads: a misspelt one would change nothing, and nobody would know."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from omegaconf import DictConfig, OmegaConf

from scaffold.errors import ConfigError, Where, nearest, shown
from scaffold.runtime.config.places import EXPERIMENT, Places, choices, headless
from scaffold.runtime.config.settings import Positive, Range

SECTIONS = ("task", "data", "backbone", "model", "optim", "trainer", "hydra")
RUN_TYPES = {
    "seed": Annotated[int, Range(0, 2**32 - 1)],
    "monitor": str | None,
    "mode": Literal["max", "min"] | None,
    "patience": Positive | None,
    "logger": str | list[str] | None,
    "run_dir": str,
    "resume": str | None,
    "allow": list[str] | None,
}


def refuse_unread(config: DictConfig, typed: Sequence[str] = ()) -> None:
    """Raise ConfigError for keys at the top of the config that nothing reads. typed: on the command line."""
    problems = unread_keys(config, typed)
    if problems:
        raise problems[0].with_details([f"{other.what} [{other.where}]" for other in problems[1:]])


def unread_keys(config: DictConfig, typed: Sequence[str] = (), folder: Path = Path()) -> list[ConfigError]:
    """Return an error for each key at the top of the config that is no setting, and that nothing refers to.

    `${name}` does, anywhere in `conf/` or on the command line, and `.name` or `"name"` in any module of the project; of
    a key that a section has, such as `dropout`, only `cfg.name` or `config["name"]`: the model may have its `.dropout`.

    typed: the overrides of the command line. folder: of the project.
    """
    added = {re.split(r"[.=]", text.lstrip("+"))[0] for text in typed if text.startswith("+")}
    places = Places(folder / "conf", choices(folder / "conf", typed))
    return [_error(name, config, None if name in added else places) for name in _unread(config, folder)]


def _error(name: str, config: DictConfig, places: Places | None) -> ConfigError:
    if name == EXPERIMENT and places:
        return headless(places.folder / EXPERIMENT / f"{places.choices.get(EXPERIMENT)}.yaml")
    place = places.of(name) if places else None
    reader = f"cfg.{name} in the code refers to it" if name in _inner(config) else "the project's code names it"
    return ConfigError(
        f"nothing reads the key {shown(name)}",
        because=f"it is no setting, and neither ${{{name}}} in conf/ nor {reader}",
        fix=_meant(name, config) or "leave it out, or refer to it if it is yours",
        where=Where(file=str(place[0]), line=place[1]) if place else Where(key=name),
        code="config.key",
    )


def _inner(config: DictConfig) -> dict[str, str]:
    return {str(key): f"{section}.{key}" for section in SECTIONS for key in config.get(section) or ()}


def _meant(name: str, config: DictConfig) -> str:
    inner = _inner(config)
    near = inner.get(name) or nearest(name, [*RUN_TYPES, *SECTIONS]) or inner.get(nearest(name, inner) or "")
    return f"did you mean {near}?" if near else ""


def _unread(config: DictConfig, folder: Path) -> list[str]:
    others = [str(name) for name in config if name not in (*SECTIONS, *RUN_TYPES)]
    if not others:
        return []
    settings = "\n".join([OmegaConf.to_yaml(config), *_texts((folder / "conf").rglob("*.yaml"))])
    code = "\n".join(_texts(_modules(folder)))
    inner = _inner(config)
    unreferred = [name for name in others if not _is_referred_to(name, settings)]
    return [name for name in unreferred if not (_is_read if name in inner else _is_named)(name, code)]


def _is_referred_to(name: str, settings: str) -> bool:
    return re.search(rf"\$\{{[^}}]*\b{re.escape(name)}\b", settings) is not None


def _is_read(name: str, code: str) -> bool:
    return re.search(rf"\b(cfg|conf|config)\b[^\w\n]+(get\W+)?{re.escape(name)}\b", code) is not None


def _is_named(name: str, code: str) -> bool:
    return re.search(rf"\.{re.escape(name)}\b|[\"']{re.escape(name)}[\"'.]", code) is not None


def _modules(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not _is_foreign(Path(parent, name))]
        yield from (Path(parent, name) for name in files if name.endswith(".py"))


def _is_foreign(folder: Path) -> bool:
    left_out = folder.name.startswith(".") or folder.name in ("runs", "site-packages", "__pycache__")
    return left_out or (folder / "pyvenv.cfg").exists()


def _texts(files: Iterable[Path]) -> list[str]:
    return [file.read_text(encoding="utf-8", errors="replace") for file in files]
