"""What a generated project depends on: the same runtime that wrote it, however that was installed (PEP 610)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import scaffold

DISTRIBUTION = "scaffold-ml"
EXTRA = "runtime"


def runtime(extras: Iterable[str] = ()) -> str:
    """Return the PEP 508 requirement of the runtime, with further extras where a template needs them."""
    name = f"{DISTRIBUTION}[{','.join(sorted({EXTRA, *extras}))}]"
    url = installed_from()
    return f"{name} @ {url}" if url else name + version_range(scaffold.__version__)


def installed_from() -> str:
    """Return the URL that the tool was installed from; empty where it came from a package index by its version."""
    try:
        origin = metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        checkout = Path(__file__).resolve().parents[2]
        return checkout.as_uri() if (checkout / "pyproject.toml").exists() else ""
    return direct_url(json.loads(origin)) if origin else ""


def direct_url(origin: Mapping[str, Any]) -> str:
    """Return the content of a `direct_url.json` as the URL of a requirement: an exact commit, a folder or a wheel."""
    url = without_credentials(origin["url"])
    if source := origin.get("vcs_info"):
        url = f"{source['vcs']}+{url}@{source['commit_id']}"
    folder = origin.get("subdirectory")
    return f"{url}#subdirectory={folder}" if folder else url


def without_credentials(url: str) -> str:
    """Return a URL without user name and password: it is written into a file that is committed."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2] if parts.scheme in {"http", "https"} else parts.netloc
    return urlunsplit(parts._replace(netloc=host))


def version_range(version: str) -> str:
    """Return the versions that keep the promises of this one: `>=0.1.0,<0.2`, from 1.0 on `>=1.4.2,<2`."""
    major, minor = version.split(".")[:2]
    following = f"0.{int(minor) + 1}" if major == "0" else str(int(major) + 1)
    return f">={version},<{following}"
