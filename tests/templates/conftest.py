"""What the tests of templates share: projects written in process, and a tiny pretrained encoder."""

from __future__ import annotations

import shutil
import string
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from scaffold.project import catalog, record
from scaffold.project.create import create
from scaffold.project.spec import build

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "a", "is", "play", "music", "timer", "rain", "buy"]
LETTERS = "▁" + string.ascii_letters + string.digits + ":"
RANGE = "scaffold-ml[runtime]>=0.4.0,<0.5"


@pytest.fixture
def new(tmp_path: Path) -> Callable[..., Path]:
    """Write a project from a template of the repository, and return its folder."""

    def write(template: str, name: str = "mymodel", answers: dict[str, object] | None = None, **options: bool) -> Path:
        spec = build(catalog.find(template), name, answers or {}, runtime_requirement=RANGE, **options)
        return create(spec, tmp_path / name, git=False).path

    return write


@pytest.fixture
def unpacked(tmp_path: Path) -> Callable[[Path], Path]:
    """Write the files of a stored project, as `scaffold new` wrote them, and return their folder."""

    def write(stored: Path) -> Path:
        project = Path(shutil.copytree(stored, tmp_path / "unpacked"))
        with zipfile.ZipFile(stored / record.BASE) as base:
            base.extractall(project)
        return project

    return write


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of an untrained BERT with its tokenizer, as `save_pretrained` leaves it."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("tiny-bert")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(PIECES), **sizes)).save_pretrained(folder)
    BertTokenizer(vocab={piece: index for index, piece in enumerate(PIECES)}).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of an untrained T5 whose tokenizer knows letters, as `save_pretrained` leaves it."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer

    folder = tmp_path_factory.mktemp("tiny-t5")
    torch.manual_seed(0)
    pieces = [(piece, 0.0) for piece in ("<pad>", "</s>", "<unk>")] + [(letter, -3.0) for letter in LETTERS]
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    config = T5Config(vocab_size=len(pieces), decoder_start_token_id=0, **sizes)
    T5ForConditionalGeneration(config).save_pretrained(folder)
    T5Tokenizer(vocab=pieces, extra_ids=0).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def tiny_pretrained(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Return the folder of a model that a template's backbone=pretrained can load."""

    def find(template: str) -> str:
        found: str = request.getfixturevalue({"text-generator": "tiny_t5"}.get(template, "tiny_bert"))
        return found

    return find
