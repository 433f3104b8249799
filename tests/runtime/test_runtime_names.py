from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import scaffold.runtime

# a public name is a promise: one that is taken out or renamed breaks the projects that import it
PROMISED = """
    augment ImageFile ImageNormaliser ImageReport
    Answer AnswerOptions AnswerSample AnswerTask AttentionMaxPool Backbone BadRow BaseModel BaseModule Batch build
    build_model build_optimizer build_trainer ClassificationOutput compose Context Contract contracts DataModule
    decoder_inputs encode_target encode_text encode_windows encode_words entry_point Format generate
    GenerationOutput instantiate LabelOptions LabelTask Line load_model max_pool mean_pool model_class ModelParams pad
    pad_inputs pool_words predict Prediction QAOutput register register_format registered Report Run RunRecorder
    RunTrainer Sample Seq2SeqOptions Seq2SeqTask set_languages SquadJson Stage TagOptions TagTask TARGETS Task
    TextOptions TorchFactory TrainingConfig violations Vocabulary WrappedModule
"""
NAMES = PROMISED.split()
HEAVY = ("torch", "lightning", "transformers", "hydra", "numpy", "torchmetrics")


def test_the_public_names_are_those_that_were_promised():
    assert sorted(scaffold.runtime.__all__) == sorted(NAMES)
    assert set(dir(scaffold.runtime)) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_there_and_documented(name):
    found = getattr(scaffold.runtime, name)
    assert found is getattr(scaffold.runtime, name)
    assert (not inspect.isroutine(found) and not inspect.isclass(found)) or found.__doc__


def test_an_unknown_name_is_no_attribute():
    with pytest.raises(AttributeError, match=r"module 'scaffold\.runtime' has no attribute 'Backbones'"):
        scaffold.runtime.Backbones  # noqa: B018


def test_importing_the_runtime_loads_nothing_heavy():
    code = "import sys, scaffold.runtime; print([name for name in sys.argv[1:] if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code, *HEAVY], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_the_engine_for_plain_models_loads_no_lightning():
    code = (
        "import sys; from scaffold.runtime import Backbone, Batch, Vocabulary, pad_inputs, TARGETS;"
        "print('lightning' in sys.modules, 'hydra' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False False\n"
