"""Free text comes back exactly from every format that it is written into, and does nothing there."""

import ast
import random
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml
from markdown_it import MarkdownIt
from omegaconf import OmegaConf

from scaffold.errors import UsageError
from scaffold.project import catalog
from scaffold.project.create import create
from scaffold.project.spec import build

COUNT = 1000
PIECES = [
    *"abc XYZ 019 \"'`\\$#&|;:,.!?*_~^<>()[]{}=+-/%@",
    *"éßЖ中한😀\u00a0\u200d\u200f\ufeff\u0301",
    *("${", "$(id)", "{{", "}}", "{%", "%}", "{#", '"""', "'''", "\\n", "\\", "\\${", "${oc.env:HOME}", "{{7*7}}"),
    *(
        "null",
        "yes",
        "on",
        "1e5",
        "0x1f",
        "~",
        "- ",
        "# ",
        ": ",
        " #",
        "<!--",
        "![a](b)",
        "&amp;",
        "???",
        "$(shell id)",
    ),
]


def hostile_texts() -> list[str]:
    chosen = random.Random(7)
    texts = ["".join(chosen.choices(PIECES, k=chosen.randint(0, 12))) for _ in range(COUNT - 4)]
    texts = [text for text in texts if text != "???"]
    return [*texts, 'O\'Brien "Bob"', "ends with \\", "${", "x" * 300]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A project that holds every hostile text in every format."""
    root = tmp_path_factory.mktemp("hostile")
    texts = hostile_texts()
    keys = [f"q{number}" for number in range(len(texts))]
    questions = "".join(f"  {key}: {{type: str, free_text: true}}\n" for key in keys)
    files = {
        "_base/keep.txt": "kept\n",
        "hostile/template.yml": f"summary: s\nversion: '1'\nquestions:\n{questions}",
        "hostile/all.toml.jinja": "".join(f"{key} = {{{{ {key}_toml }}}}\n" for key in keys),
        "hostile/all.yaml.jinja": "".join(f"{key}: {{{{ {key}_yaml }}}}\n" for key in keys),
        "hostile/all.py.jinja": "".join(f"{key} = {{{{ {key}_py }}}}\n" for key in keys),
        "hostile/all.md.jinja": "".join(f"{{{{ {key}_text }}}}\n\n\\---\n\n" for key in keys),
        "hostile/Makefile.jinja": "".join(f"# {{{{ {key}_text }}}}\n" for key in keys) + "all:\n\techo fine\n",
    }
    for name, text in files.items():
        path = root / "templates" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    spec = build(catalog.find("hostile", root / "templates"), "mymodel", dict(zip(keys, texts, strict=True)))
    return dict(zip(keys, texts, strict=True)), create(spec, root / "mymodel", git=False).path


def test_text_comes_back_from_toml(written):
    texts, project = written
    assert tomllib.loads((project / "all.toml").read_text(encoding="utf-8")) == texts


def test_text_comes_back_from_a_configuration(written):
    texts, project = written
    config = OmegaConf.load(project / "all.yaml")
    assert {key: config[key] for key in texts} == texts


def test_text_without_an_interpolation_comes_back_from_plain_yaml(written):
    texts, project = written
    loaded = yaml.safe_load((project / "all.yaml").read_text(encoding="utf-8"))
    plain = {key: text for key, text in texts.items() if "${" not in text}
    assert {key: loaded[key] for key in plain} == plain


def test_text_comes_back_from_python(written):
    texts, project = written
    module = ast.parse((project / "all.py").read_text(encoding="utf-8"))
    assert {line.targets[0].id: ast.literal_eval(line.value) for line in module.body} == texts


def test_python_literals_are_as_ruff_formats_them(written):
    if not shutil.which("ruff", path=str(__import__("pathlib").Path(sys.executable).parent)):
        pytest.skip("ruff is not installed")
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--isolated", "--diff", written[1] / "all.py"], capture_output=True
    )
    assert checked.returncode == 0, checked.stdout.decode()[:2000]


def test_text_is_plain_text_in_markdown(written):
    texts, project = written
    tokens = MarkdownIt("commonmark").parse((project / "all.md").read_text(encoding="utf-8"))
    inlines = [token for token in tokens if token.type == "inline"]
    assert all(child.type in {"text", "text_special"} for token in inlines for child in token.children)
    shown = ["".join(child.content for child in token.children) for token in inlines]
    assert [text for text in shown if text != "---"] == [
        text.strip() for text in texts.values() if text.strip() and text.strip() != "---"
    ]


def test_text_in_the_comments_of_a_makefile_runs_nothing(written):
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    made = subprocess.run(["make", "-n"], cwd=written[1], capture_output=True, text=True)
    assert (made.returncode, made.stdout, made.stderr) == (0, "echo fine\n", "")


def test_the_record_holds_the_answers_exactly(written):
    from scaffold.project import record

    assert record.read(written[1]).answers == written[0]


@pytest.mark.parametrize(
    "text, reason",
    [
        ("a\0b", "U+0000"),
        ("two\nlines", "U+000A"),
        ("tab\t", "U+0009"),
        ("\x1b[31m", "U+001B"),
        ("\x85", "U+0085"),
        ("\u2028", "U+2028"),
        ("\ud800", "U+D800"),
        ("\ufffe", "U+FFFE"),
        ("\u202eabc", "U+202E"),
        ("x" * 1001, "1000 are allowed"),
        ("???", "missing"),
    ],
)
def test_text_that_no_format_can_hold_is_refused_by_its_key(catalogue, text, reason):
    template = catalog.find("tagger", catalogue())
    with pytest.raises(UsageError, match="description") as refused:
        build(template, "mymodel", {"description": text})
    assert reason in refused.value.because
    assert str(refused.value.where) == "description"
    assert str(refused.value).replace("\n", "").isprintable()
