"""What git does for a project: its first commit, and the repository it is updated in; no hook of the person's runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scaffold.errors import EnvironmentFault

BRANCH = "main"
MERGES_TREES = (2, 38)
UPDATING = "`scaffold update` merges with `git merge-tree --write-tree`"
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
UNDISTURBED = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
}
SETTINGS = UNDISTURBED | {
    "core.attributesFile": "/dev/null",
    "core.autocrlf": "false",
    "core.safecrlf": "false",
    "commit.gpgSign": "false",
    "user.useConfigOnly": "true",
    "safe.bareRepository": "all",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a tree: git's mode, and the id of its content."""

    mode: str
    blob: str


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository to call git in; by default, no configuration of the person's counts. `fix`: of a git that fails."""

    folder: Path
    settings: Mapping[str, str] = field(default_factory=lambda: SETTINGS)
    fix: str = "mend git's configuration, or leave the repository out with --no-git"

    def run(
        self, *arguments: str, stdin: bytes = b"", variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run git and return what it said, also where it failed."""
        return subprocess.run(
            ["git", *(part for key, value in self.settings.items() for part in ("-c", f"{key}={value}")), *arguments],
            cwd=self.folder,
            env=environment() | dict(variables or {}),
            input=stdin,
            capture_output=True,
            check=False,
        )

    def git(self, *arguments: str, stdin: bytes = b"", variables: Mapping[str, str] | None = None) -> bytes:
        """Run git and return its output, or raise EnvironmentFault with what it said."""
        result = self.run(*arguments, stdin=stdin, variables=variables)
        if result.returncode:
            raise self.failed(arguments[0], result)
        return result.stdout

    def failed(self, command: str, result: subprocess.CompletedProcess[bytes]) -> EnvironmentFault:
        """Return the error of a git command that failed."""
        said = " ".join(result.stderr.decode(errors="backslashreplace").split())
        return EnvironmentFault(f"git {command} failed", because=said[:200], fix=self.fix, code="environment.git")

    def line(self, *arguments: str, variables: Mapping[str, str] | None = None) -> str:
        """Run git and return the one line that it prints."""
        return os.fsdecode(self.git(*arguments, variables=variables)).removesuffix("\n")

    def tree(self, name: str) -> dict[str, Entry]:
        """Return all files of a commit or a tree."""
        listing = self.git("ls-tree", "-r", "-z", "--full-tree", name)
        files = {}
        for line in filter(None, listing.split(b"\0")):
            facts, _, path = os.fsdecode(line).partition("\t")
            mode, _, blob = facts.split()
            files[path] = Entry(mode, blob)
        return files


def index_lines(entries: Mapping[str, Entry], stage: int = 0) -> bytes:
    """Return files as `git update-index -z --index-info` reads them."""
    return b"".join(os.fsencode(f"{entry.mode} {entry.blob} {stage}\t{path}\0") for path, entry in entries.items())


def first_commit(project: Path, message: str) -> None:
    """Make a folder a repository that holds all its files in one commit."""
    repository = Repository(project)
    repository.git("init", "--quiet", "--template=", f"--initial-branch={BRANCH}")
    repository.git("add", "--force", "--all", ".")
    commit = ("commit", "--quiet", "--no-verify", f"--message={message}")
    if repository.run(*commit).returncode:
        repository.git(*commit, variables=NEUTRAL)


def is_available() -> bool:
    """Say whether there is a git to call."""
    return shutil.which("git") is not None


def refuse_old_git() -> None:
    """Raise EnvironmentFault unless there is a git that merges trees without a work tree."""
    if not is_available():
        raise EnvironmentFault("git is missing", because=UPDATING, fix="install git", code="environment.no-git")
    version = re.findall(r"\d+", subprocess.run(["git", "version"], capture_output=True, text=True, check=False).stdout)
    if tuple(map(int, version[:2])) < MERGES_TREES:
        what = f"git {'.'.join(version[:3])} is too old"
        raise EnvironmentFault(what, because=UPDATING, fix="install git 2.38 or newer", code="environment.no-git")


def work_tree_around(folder: Path) -> Path | None:
    """Return the nearest repository that a folder lies in."""
    parents = (folder.resolve(), *folder.resolve().parents)
    return next((parent for parent in parents if (parent / ".git").exists()), None)


def environment() -> dict[str, str]:
    """Return the environment without what would redirect git."""
    return {key: value for key, value in os.environ.items() if not key.startswith("GIT_") or key in KEPT_VARIABLES}
