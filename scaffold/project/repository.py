"""The first commit of a project: by the person where git knows one, without any hook, template or ignore of theirs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from scaffold.errors import EnvironmentFault

BRANCH = "main"
# Where the person's identity may stand; every other GIT_* variable would lead git to another repository or run things.
KEPT_VARIABLES = frozenset(
    {"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"}
    | {f"GIT_{role}_{field}" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")}
)
NEUTRAL = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "scaffold"), ("EMAIL", "scaffold@localhost"))
}
SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.attributesFile": "/dev/null",
    "core.autocrlf": "false",
    "core.safecrlf": "false",
    "core.fsmonitor": "false",
    "commit.gpgSign": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "user.useConfigOnly": "true",
}


def first_commit(project: Path, message: str) -> None:
    """Make a folder a repository that holds all its files in one commit."""
    git(project, "init", "--quiet", "--template=", f"--initial-branch={BRANCH}")
    git(project, "add", "--force", "--all", ".")
    commit = ("commit", "--quiet", "--no-verify", f"--message={message}")
    if run(project, *commit).returncode:
        git(project, *commit, identity=NEUTRAL)


def is_available() -> bool:
    """Say whether there is a git to call."""
    return shutil.which("git") is not None


def work_tree_around(folder: Path) -> Path | None:
    """Return the nearest repository that a folder lies in."""
    parents = (folder.resolve(), *folder.resolve().parents)
    return next((parent for parent in parents if (parent / ".git").exists()), None)


def git(project: Path, *arguments: str, identity: dict[str, str] | None = None) -> None:
    """Run git in a project, or raise EnvironmentFault with what it said."""
    result = run(project, *arguments, identity=identity)
    if result.returncode:
        raise EnvironmentFault(
            f"git {arguments[0]} failed",
            because=" ".join(result.stderr.decode(errors="backslashreplace").split())[:200],
            fix="mend git's configuration, or leave the repository out with --no-git",
            code="environment.git",
        )


def run(project: Path, *arguments: str, identity: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run git with settings that no configuration of the person's can override."""
    settings = [part for key, value in SETTINGS.items() for part in ("-c", f"{key}={value}")]
    return subprocess.run(
        ["git", *settings, *arguments],
        cwd=project,
        env=environment() | (identity or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


def environment() -> dict[str, str]:
    """Return the environment without what would redirect git."""
    return {key: value for key, value in os.environ.items() if not key.startswith("GIT_") or key in KEPT_VARIABLES}
