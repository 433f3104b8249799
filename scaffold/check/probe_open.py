"""From what a person names to a probe: a model at hand, a class in a file, or a project."""

from __future__ import annotations

import copy
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from torch import nn

from scaffold.check.probe import Probe
from scaffold.check.probe_adapt import Adapter, adapter_for, adapting
from scaffold.check.probe_bench import Given, with_shift
from scaffold.check.probe_call import attempt, call, named
from scaffold.check.probe_fake import too_large
from scaffold.check.probe_init import constructor
from scaffold.check.probe_place import Places
from scaffold.check.probe_rows import ROWS, SyntheticRows
from scaffold.check.probe_watch import fitting, fitting_kind, measured
from scaffold.runtime.contracts import FAMILIES, Contract


def probe_model(make: Any, data: Any = None, *, task: str | None = None) -> Probe:
    """Return the probe of a model at hand; see `check_model`."""
    factory = (lambda: copy.deepcopy(make)) if isinstance(make, nn.Module) else make
    if data is not None:
        from scaffold.check.probe_project import project_given

        return Probe(project_given(factory, data))
    model = make if isinstance(make, nn.Module) else None
    contract = FAMILIES[task] if task else getattr(model, "contract", FAMILIES["sequence"])
    return Probe(lone_given(factory, contract))


def probe_class(file: Path, root: Path, name: str, task: str, init: Mapping[str, Any]) -> Probe:
    """Return the probe of a class in a file.

    Raises Crashed for a file that cannot be imported, Unknown for a constructor that needs more than is given.
    """
    cls = attempt("importing the file", lambda: getattr(imported(file, root), name)).get()
    if _is_bound(cls):
        from scaffold.check.probe_bound import probe_bound

        return probe_bound(cls, init)
    return Probe(lone_given(constructor(cls, init), FAMILIES[task], cls))


def _is_bound(cls: type) -> bool:
    """Return whether a class is a model of the runtime with its task, which gets what it knows from its data."""
    home = sys.modules.get("scaffold.runtime.module")
    return home is not None and issubclass(cls, home.BaseModule) and hasattr(cls, "contract")


def lone_given(make: Callable[[], nn.Module], contract: Contract, cls: type | None = None) -> Given:
    """Return what the probe of a model without data is made of: synthetic rows that fit it."""
    large = too_large(make)
    count, context = large or (None, nullcontext)
    with context():
        model = attempt("__init__", make).get()
        contract = fitting(model, contract)
        sizes = measured(model, contract, large=count is not None)
        keys = _keys(model, contract)
        rows = SyntheticRows(contract, sizes, keys)
        sizes = sizes if count else fitting_kind(model, rows)
        adapter = _adapter(model, SyntheticRows(contract, sizes, keys))
    rows = SyntheticRows(contract, sizes, keys | {*contract.targets} if adapter else keys)
    contract = with_shift(contract, rows.batch(range(ROWS)))
    places, make = Places(cls or type(model)), adapting(make, adapter)
    return Given(make, rows, contract, places, {}, sizes.pad_id, large=count, fake=context, adapter=adapter)


def _adapter(model: nn.Module, rows: SyntheticRows) -> Adapter | None:
    """Return what the model's output is read by; None for a model that keeps the contract, or crashes."""
    batch = rows.batch(range(ROWS))
    ran = call(model, batch)
    names, is_open = named(model)
    is_of_task = hasattr(model, "contract")
    return (
        None
        if ran.crash or is_of_task
        else adapter_for(with_shift(rows.contract, batch), ran.output, None if is_open else frozenset(names))
    )


def _keys(model: nn.Module, contract: Contract) -> frozenset[str]:
    names, is_open = named(model)
    wanted = {*contract.inputs, *contract.targets}
    return frozenset(name for name in names if name in wanted or name in contract.optional) | (
        frozenset(wanted) if is_open else frozenset()
    )


def imported(file: Path, root: Path) -> Any:
    """Import a file under its own name, whatever was imported by that name before."""
    name = ".".join(file.relative_to(root).with_suffix("").parts)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def importing_from(root: Path) -> Iterator[None]:
    """Let what lies in a folder be imported, and forget it afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(root))
    try:
        yield
    finally:
        sys.path.remove(str(root))
        for name in set(sys.modules) - before:
            if _lies_in(sys.modules[name], root):
                del sys.modules[name]


def _lies_in(module: Any, root: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).is_relative_to(root)
