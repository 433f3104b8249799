"""A project is made in one step: all of it, or nothing."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scaffold.errors import ArtefactError, EnvironmentFault, RefusedError, UsageError
from scaffold.project import catalog
from scaffold.project.create import create
from scaffold.project.spec import build


@pytest.fixture
def spec(catalogue):
    def make(given=None, files=None, **options):
        return build(catalog.find("tagger", catalogue(files)), "my-2nd_model", given or {}, **options)

    return make


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def contents(project: Path) -> dict[str, bytes]:
    paths = (path.relative_to(project) for path in project.rglob("*") if path.is_file())
    return {str(path): (project / path).read_bytes() for path in paths if path.parts[0] != ".git"}


def test_base_and_template_are_laid_over_one_another(spec, home):
    created = create(spec(), home / "m", git=False)
    assert [file.path for file in created.files] == [
        ".scaffold/base.zip",
        ".scaffold/record.yml",
        "README.md",
        "conf/train.yaml",
        "data/train.tsv",
        "my_2nd_model/__init__.py",
        "my_2nd_model/model.py",
    ]
    assert sorted(contents(home / "m")) == [file.path for file in created.files]
    assert created.edit == "my_2nd_model/model.py"
    assert (home / "m/my_2nd_model/model.py").read_text().startswith("class My2ndModel:\n    about")


def test_files_know_what_they_are_for_and_whose_they_are(spec, home):
    files = {file.path: file for file in create(spec(), home / "m", git=False).files}
    assert (files["data/train.tsv"].purpose, files["data/train.tsv"].file_class) == ("a sample", "seed")
    assert files["my_2nd_model/model.py"].purpose == "the file to edit"
    assert files["README.md"].file_class == "managed"


def test_a_conditional_layer_is_laid_only_when_its_answer_is_given(spec, home):
    create(spec({"extra": True}), home / "more", git=False)
    create(spec(bare=True), home / "bare", git=False)
    assert (home / "more/extra.py").read_text() == "extra = True\n"
    assert not (home / "bare/extra.py").exists()
    assert (home / "bare/my_2nd_model/model.py").read_text() == "class My2ndModel:\n    pass\n"


def test_a_template_does_without_a_question_and_files_of_the_base(spec, home):
    manifest = "summary: s\nquestions: {description: null}\nfiles: {data/*: null, conf/*.yaml: null}\n"
    files = {
        "tagger/template.yml": manifest,
        "_base/_when/bare=true/data/more.tsv": "more\n",
        "_base/README.md.jinja": "{% if description is defined %}\nneeds it\n{% endif %}\n# {{ project }}\n",
        "tagger/conf/train.yaml.jinja": "own: 1\n",
        "tagger/{{ package }}/model.py.jinja": "",
        "tagger/_when/bare=true/{{ package }}/model.py.jinja": "",
    }
    create(spec(files=files, bare=True), home / "m", git=False)
    assert not (home / "m/data").exists()
    assert (home / "m/conf/train.yaml").read_text() == "own: 1\n"
    assert (home / "m/README.md").read_text() == "# my-2nd_model\n"


def test_the_base_s_conditional_layer_lies_under_the_template_s(spec, home):
    files = {
        "_base/_when/extra=true/extra.py.jinja": "base\n",
        "_base/_when/extra=true/README.md": "of the condition\n",
    }
    create(spec({"extra": True}, files), home / "m", git=False)
    assert (home / "m/extra.py").read_text() == "extra = True\n"
    assert (home / "m/README.md").read_text() == "of the condition\n"


def test_a_file_whose_condition_leaves_nothing_is_dropped_unless_it_is_declared(spec, home):
    files = {"tagger/only/when.py.jinja": "{% if extra %}x = 1{% endif %}\n", "tagger/.gitkeep": ""}
    create(spec(files=files), home / "m", git=False)
    assert not (home / "m/only").exists()
    assert (home / "m/.gitkeep").exists()
    assert (home / "m/my_2nd_model/__init__.py").exists()


def test_executable_files_stay_executable_and_the_umask_counts(spec, home):
    plan = spec(files={"tagger/run.sh.jinja": "#!/bin/sh\n"})
    (plan.template.layers[1] / "run.sh.jinja").chmod(0o777)
    (plan.template.layers[1] / "conf/train.yaml.jinja").chmod(0o600)
    before = os.umask(0o027)
    try:
        create(plan, home / "m", git=False)
    finally:
        os.umask(before)
    assert (home / "m/run.sh").stat().st_mode & 0o777 == 0o750
    assert (home / "m/conf/train.yaml").stat().st_mode & 0o777 == 0o640
    with zipfile.ZipFile(home / "m/.scaffold/base.zip") as base:
        assert base.getinfo("run.sh").external_attr >> 16 == 0o100755


def test_the_same_inputs_give_the_same_bytes(spec, home, monkeypatch):
    create(spec(), home / "one", git=False)
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    monkeypatch.setenv("LANG", "C")
    create(spec(), home / "two")
    assert contents(home / "one") == contents(home / "two")


def test_a_dry_run_says_the_same_and_writes_nothing(spec, home):
    rehearsed = create(spec(), home / "m", dry_run=True)
    assert list(home.iterdir()) == []
    assert rehearsed == create(spec(), home / "m")


def test_an_empty_folder_is_filled(spec, home):
    (home / "m").mkdir()
    create(spec(), home / "m", git=False)
    assert (home / "m/README.md").exists()


def test_a_place_that_is_taken_is_refused_and_left_alone(spec, home):
    (home / "full").mkdir()
    (home / "full/mine.txt").write_text("mine")
    (home / "file").write_text("mine")
    (home / "link").symlink_to(home / "elsewhere")
    (home / "elsewhere").mkdir()
    (home / "dangling").symlink_to(home / "nowhere")
    before = sorted(str(path) for path in home.rglob("*"))
    reasons = {"full": "not empty", "file": "is a file", "link": "symbolic link", "dangling": "symbolic link"}
    for name, reason in reasons.items():
        with pytest.raises(RefusedError, match="cannot be written") as refused:
            create(spec(), home / name)
        assert reason in refused.value.because
    with pytest.raises(RefusedError) as refused:
        create(spec(), home / "file/m")
    assert "is a file" in refused.value.because
    assert sorted(str(path) for path in home.rglob("*")) == before


def test_a_parent_folder_that_is_missing_is_a_usage_error(spec, home):
    with pytest.raises(UsageError, match="does not exist") as missing:
        create(spec(), home / "no/m")
    assert missing.value.fix == f"mkdir -p {home / 'no'}"


def test_a_path_that_is_too_long_is_the_machine_s_fault(spec, home):
    long = {f"tagger/{'e' * 200}/{'f' * 200}/{'g' * 200}.txt": "x"}
    deep = home
    while len(str(deep)) < 3600:
        deep /= "d" * 100
        deep.mkdir()
    with pytest.raises(EnvironmentFault, match="nothing was written") as fault:
        create(spec(files=long), deep / "m", git=False)
    assert fault.value.because == "the path is too long"
    assert list(deep.iterdir()) == []


def test_temporary_folders_of_dead_runs_are_swept_and_no_others(spec, home):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    stale = home / f".m.tmp-{dead.stdout.strip()}-0123abcd"
    alive = home / f".m.tmp-{os.getpid()}-0123abcd"
    other = home / ".m.tmp-notes"
    for folder in (stale, alive, other):
        (folder / "part").mkdir(parents=True)
    create(spec(), home / "m", git=False)
    assert sorted(path.name for path in home.iterdir()) == sorted([alive.name, other.name, "m"])
    stale.mkdir()
    with pytest.raises(RefusedError):
        create(spec(), home / "m", git=False)
    assert not stale.exists()


@pytest.mark.parametrize(
    "text, reason, line",
    [
        ("fine\n{{ nothing }}\n", "'nothing' is undefined", 2),
        ("fine\n\n{% if %}\n", "Expected an expression", 3),
        ("{{ 1 // 0 }}", "ZeroDivisionError", 1),
    ],
)
def test_a_template_that_cannot_be_rendered_is_named_with_its_line(spec, home, text, reason, line):
    with pytest.raises(ArtefactError, match="cannot be read") as damaged:
        create(spec(files={"tagger/broken.txt.jinja": text}), home / "m")
    assert reason in damaged.value.because
    assert (damaged.value.where.file, damaged.value.where.line) == ("tagger/broken.txt.jinja", line)
    assert list(home.iterdir()) == []


def test_answers_are_never_rendered(spec, home):
    create(spec({"description": "{{ 7*7 }} {% raw %}"}), home / "m", git=False)
    assert 'about = "{{ 7*7 }} {% raw %}"' in (home / "m/my_2nd_model/model.py").read_text()


SCRIPT = """
import resource, signal, sys
from pathlib import Path
from scaffold.cli import main
limit = int(sys.argv[2])
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.exit(main(["new", "tagger", "mymodel", "--into", sys.argv[1]]))
"""


@pytest.mark.parametrize("limit", [1, 10, 40, 100, 300, 600])
def test_a_write_that_fails_at_any_point_leaves_nothing(catalogue, home, limit):
    catalogue()
    ended = subprocess.run([sys.executable, "-c", SCRIPT, home, str(limit)], capture_output=True, text=True)
    assert ended.returncode == 4, ended.stderr
    assert ended.stderr.startswith("error: ")
    assert "Traceback" not in ended.stderr
    assert list(home.iterdir()) == []


def test_a_parent_folder_without_permission_is_the_machine_s_fault(spec):
    place = Path("/sys")  # nobody may write here, root neither
    if not place.is_dir():
        pytest.skip("this machine has no folder that root cannot write to")
    with pytest.raises(EnvironmentFault, match="nothing was written") as fault:
        create(spec(), place / "m")
    assert fault.value.because in {"permission denied", "the file system is read-only"}


def test_of_two_runs_at_once_exactly_one_wins(catalogue, home):
    catalogue()
    command = [sys.executable, "-m", "scaffold", "new", "tagger", "mymodel", "--into", home, "--no-git"]
    runs = [subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) for _ in range(3)]
    codes = sorted(run.wait() for run in runs)
    for run in runs:
        run.stderr.close()
    assert codes == [0, 3, 3]
    assert [path.name for path in home.iterdir()] == ["mymodel"]
