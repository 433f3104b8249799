"""Names for models and their parts: found without a path, the same whatever their spelling, never two for one."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from scaffold.errors import ConfigError, RefusedError
from scaffold.runtime import register, registered
from scaffold.runtime.plain.registry import KINDS, find, name_of, registrations, target_of

MODULE = "from scaffold.runtime import register\n\n\n@register('{name}', '{kind}')\nclass {cls}:\n    pass\n"


@pytest.fixture
def package(tmp_path, opened):
    """Write modules of a package called `mine` in an empty project, and enter it."""

    def write(**modules: str) -> Path:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "__init__.py").touch()
        for name, text in modules.items():
            (tmp_path / "mine" / f"{name}.py").write_text(text, encoding="utf-8")
        return opened(tmp_path)

    return write


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_found_by_its_name_in_any_spelling(package, kind):
    package(parts=MODULE.format(name="My-Part_2", kind=kind, cls="Part"))
    for name in ("My-Part_2", "my-part-2", "MYPART2", "my_part_2"):
        assert registered(name, kind) is importlib.import_module("mine.parts").Part


def test_kinds_do_not_share_names(package):
    package(a=MODULE.format(name="x", kind="model", cls="A"), b=MODULE.format(name="x", kind="metric", cls="B"))
    assert (registered("x").__name__, registered("x", "metric").__name__) == ("A", "B")


def test_importing_a_module_once_more_is_harmless(package):
    package(parts=MODULE.format(name="x", kind="model", cls="A"))
    before = registered("x")
    importlib.reload(sys.modules["mine.parts"])
    assert registered("x") is sys.modules["mine.parts"].A is not before


def test_two_objects_under_one_name_name_both_places(package):
    package(a=MODULE.format(name="x", kind="model", cls="A"), b=MODULE.format(name="X", kind="model", cls="B"))
    with pytest.raises(RefusedError) as problem:
        registered("x")
    assert str(problem.value) == (
        "error: two different objects are registered as the model 'X' [mine/b.py:4]\n"
        "  because: mine.a.A in mine/a.py:4, and mine.b.B in mine/b.py:4\n"
        "  fix: give one of them another name"
    )


def test_an_unknown_name_is_told_with_the_nearest(package):
    package(parts=MODULE.format(name="mlp-encoder", kind="callback", cls="A"))
    with pytest.raises(ConfigError) as problem:
        registered("mlp-encodr", "callback")
    assert str(problem.value) == (
        "error: no callback is registered as 'mlp-encodr'\n"
        "  because: registered are mlp-encoder\n"
        "  fix: did you mean mlp-encoder?"
    )


def test_where_nothing_is_registered_it_says_how_to(package):
    package()
    with pytest.raises(ConfigError) as problem:
        registered("adam", "optimizer")
    assert str(problem.value) == (
        "error: no optimizer is registered as 'adam'\n"
        "  because: the project registers no optimizer\n"
        '  fix: put @register("adam", "optimizer") above it, and run from its project'
    )


@pytest.mark.parametrize("call", [lambda: register("x", "optimiser"), lambda: find("x", "optimiser")])
def test_an_unknown_kind_is_told_with_the_nearest(call):
    with pytest.raises(ConfigError, match=r"did you mean optimizer\?"):
        call()


@pytest.mark.parametrize("kind", ["dataset", "collator"])
def test_what_no_key_of_the_config_names_is_found_in_code(kind):
    def pad_to_eight():
        return 8

    register("pad-to-eight", kind)(pad_to_eight)
    assert registered("Pad_To_Eight", kind) is pad_to_eight


def test_only_classes_and_functions_can_be_registered():
    with pytest.raises(ConfigError, match="only classes and functions can be registered, got 3"):
        register("x", "metric")(3)


def test_modules_that_register_nothing_are_not_imported(package):
    package(parts=MODULE.format(name="x", kind="metric", cls="A"), script="raise RuntimeError('do not import me')\n")
    assert [entry.name for entry in registrations("metric")] == ["x"]


def test_an_error_in_a_registering_module_is_not_hidden(package):
    package(parts=MODULE.format(name="x", kind="model", cls="A") + "1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        registered("x")


def test_a_registration_has_a_path_and_a_place(package):
    package(parts=MODULE.format(name="x", kind="optimizer", cls="A"))
    assert target_of("x", "optimizer") == "mine.parts.A"
    assert find("x", "optimizer").place == "mine/parts.py:4"
    assert name_of(registered("x", "optimizer"), "optimizer") == "x"
    assert name_of(dict) is None


def test_what_a_forgotten_project_registered_is_gone(package):
    package(parts=MODULE.format(name="x", kind="model", cls="A"))
    registered("x")
    del sys.modules["mine.parts"]
    Path("mine/parts.py").unlink()
    with pytest.raises(ConfigError):
        registered("x")
