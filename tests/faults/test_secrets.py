"""What the config takes from the environment stays there: in no file of a run, and not on the screen."""

from __future__ import annotations

import shutil

import pytest

CANARY = "canary-7f3a91c2"

# a callback that is given the secret, and shows it in its errors, as a client of some service would
TELLER = '''
"""A callback that needs a token."""

import lightning.pytorch as pl


class Teller(pl.Callback):
    """Tells somebody that training began."""

    def __init__(self, token: str, fails: bool = False) -> None:
        self.token, self.fails = token, fails

    def on_train_start(self, trainer, pl_module):
        """Tell them."""
        assert self.token.startswith("canary")
        if self.fails:
            raise ConnectionError(f"no access with {self.token}")
'''


@pytest.fixture(autouse=True)
def secrets(project, monkeypatch):
    monkeypatch.setenv("TOKEN", CANARY)
    (project.folder / "mymodel" / "teller.py").write_text(TELLER, encoding="utf-8")


def teller(**options: str) -> str:
    more = "".join(f", {name}: {value}" for name, value in options.items())
    return f"+trainer.callbacks=[{{_target_: mymodel.teller.Teller, token: '${{oc.env:TOKEN}}'{more}}}]"


def traces(project, *ended) -> list[str]:
    """Return the files below the project that hold the value, and what was printed of it."""
    files = (path for path in project.folder.rglob("*") if path.is_file())
    found = [str(path) for path in files if CANARY.encode() in path.read_bytes()]
    return found + [line for one in ended for line in (one.out + one.err).splitlines() if CANARY in line]


def test_a_token_for_a_callback_is_in_no_file_and_not_on_the_screen(project):
    ended = project.train(teller())
    assert ended.code == 0, ended.err
    assert "token: ${oc.env:TOKEN}" in (project.run() / "config.yaml").read_text(encoding="utf-8")
    assert traces(project, ended) == []


def test_a_token_is_not_kept_by_a_run_that_goes_on(project):
    stopped = project.train(project.trouble("SIGTERM", 3))
    ended = project.resume(teller())
    assert (stopped.code, ended.code) == (143, 0)
    assert "token: ${oc.env:TOKEN}" in (project.run() / "config.yaml").read_text(encoding="utf-8")
    assert traces(project, stopped, ended) == []


def test_an_error_that_shows_a_token_is_printed_without_it(project):
    ended = project.train(teller(fails="true"))
    assert ended.code == 1
    assert "because: no access with ${oc.env:TOKEN}\n" in ended.err
    assert traces(project, ended) == []


@pytest.mark.parametrize("key", ["trainer.max_epochs", "data.batch_size", "data.path", "logger", "seed", "monitor"])
def test_a_setting_that_is_refused_is_shown_by_its_reference(project, key):
    ended = project.train(f"{key}=${{oc.env:TOKEN}}")
    assert ended.code in (2, 7)
    assert "${oc.env:TOKEN}" in ended.err
    assert traces(project, ended) == []


def test_a_folder_of_data_from_the_environment_is_named_by_its_reference(project, monkeypatch):
    shutil.move(project.folder / "data", project.folder / CANARY)
    monkeypatch.setenv("TOKEN", str(project.folder / CANARY))
    with (project.folder / CANARY / "train.tsv").open("a", encoding="utf-8") as rows:
        rows.write("alone\n")
    ended = project.train("data.path=${oc.env:TOKEN}", "data.on_bad_row=skip")
    assert ended.code == 0, ended.err
    assert '"${oc.env:TOKEN}/train.tsv": "' in (project.run() / "manifest.json").read_text(encoding="utf-8")
    assert traces(project, ended) == []
    commands = [project.command("evaluate", "--run", "runs/one"), project.command("predict", "--input", "nowhere.tsv")]
    assert [command.code for command in commands] == [0, 2]
    assert traces(project, *commands) == []


@pytest.mark.parametrize("key", ["model.dropout", "optim.warmup", "+model.name"])
def test_a_model_takes_nothing_from_the_environment(project, key):
    ended = project.train(f"{key}=${{oc.env:TOKEN}}")
    assert ended.code == 2
    assert "a value from the environment is not allowed here" in ended.err
    assert traces(project, ended) == []


def test_overrides_are_not_repeated_when_a_run_fails(project):
    ended = project.train(teller(fails="true"), "logger=[csv]")
    assert "Error executing job" not in ended.err
