"""A project depends on the runtime that wrote it, however that was installed."""

import json
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from scaffold import __version__
from scaffold.project import catalog, requirement
from scaffold.project.create import create
from scaffold.project.spec import build

RANGE = requirement.version_range(__version__)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install a distribution of our name by its metadata alone."""

    def install(origin=None) -> str:
        info = tmp_path / f"site/scaffold_ml-{__version__}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: scaffold-ml\nVersion: {__version__}\n")
        if origin:
            (info / "direct_url.json").write_text(json.dumps(origin))
        monkeypatch.setattr(sys, "path", [str(info.parent), *sys.path])
        return requirement.runtime()

    return install


def test_a_plain_install_gives_a_range_of_versions(installed):
    assert installed() == f"scaffold-ml[runtime]{RANGE}"


@pytest.mark.parametrize(
    "origin, url",
    [
        ({"url": "file:///home/me/scaffold", "dir_info": {"editable": True}}, "file:///home/me/scaffold"),
        ({"url": "file:///tmp/s-0.1-py3-none-any.whl", "archive_info": {}}, "file:///tmp/s-0.1-py3-none-any.whl"),
        (
            {
                "url": "https://example.org/s.git",
                "vcs_info": {"vcs": "git", "commit_id": "abc", "requested_revision": "x"},
            },
            "git+https://example.org/s.git@abc",
        ),
        (
            {
                "url": "ssh://git@example.org/s.git",
                "vcs_info": {"vcs": "git", "commit_id": "abc"},
                "subdirectory": "py",
            },
            "git+ssh://git@example.org/s.git@abc#subdirectory=py",
        ),
        ({"url": "https://user:secret@example.org/s.whl", "archive_info": {}}, "https://example.org/s.whl"),
    ],
)
def test_a_direct_install_gives_its_address(installed, origin, url):
    assert installed(origin) == f"scaffold-ml[runtime] @ {url}"
    assert Requirement(requirement.runtime()).url == url


def test_a_checkout_that_is_not_installed_gives_its_folder(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    checkout = Path(requirement.__file__).parents[2]
    expected = f"scaffold-ml[runtime] @ {checkout.as_uri()}" if (checkout / "pyproject.toml").exists() else None
    assert requirement.runtime() == (expected or f"scaffold-ml[runtime]{RANGE}")


def test_a_version_allows_what_keeps_its_promises():
    assert [requirement.version_range(version) for version in ("0.1.0", "0.12.3", "1.4.2", "2.0.0rc1")] == [
        ">=0.1.0,<0.2",
        ">=0.12.3,<0.13",
        ">=1.4.2,<2",
        ">=2.0.0rc1,<3",
    ]


def test_a_template_may_need_further_extras(catalogue, tmp_path, installed):
    installed()
    files = {
        "other/template.yml": "summary: s\ndata: {runtime_extras: [retrieval, runtime]}\n",
        "other/pyproject.toml.jinja": "needs = {{ runtime_requirement_toml }}\n",
    }
    spec = build(catalog.find("other", catalogue(files)), "mymodel", {})
    project = create(spec, tmp_path / "mymodel", git=False).path
    needs = tomllib.loads((project / "pyproject.toml").read_text())["needs"]
    assert needs == f"scaffold-ml[retrieval,runtime]{RANGE}"
