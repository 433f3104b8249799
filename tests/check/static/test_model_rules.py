"""Rules on the model's place in its task: batch keys, monitor, hooks, stubs."""

from __future__ import annotations

import pytest

from scaffold.check import check_path

FORWARD = "def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None)"


@pytest.mark.parametrize(
    "signature, measured",
    [
        ("def forward(self, input_ids: Tensor, labels: Tensor | None = None)", {"attention_mask"}),
        ("def forward(self, input_ids: Tensor, attention_mask: Tensor)", {"labels"}),
        (FORWARD.replace("input_ids", "tokens"), {"tokens", "input_ids"}),
        (FORWARD.replace("labels", "targets: Tensor, labels"), {"targets"}),
    ],
)
def test_forward_has_to_take_the_keys_of_the_batch(checked, signature, measured):
    found = checked("forward-keys", model=(FORWARD, signature))
    assert {finding.measured for finding in found} == measured
    assert {finding.file for finding in found} == {"mymodel/model.py"}


@pytest.mark.parametrize(
    "signature",
    [
        FORWARD.replace("labels: ", "token_type_ids: Tensor | None = None, labels: "),
        FORWARD.replace("labels: ", "samples: list[Any], labels: "),
        FORWARD.replace("labels: ", "temperature: float = 1.0, labels: "),
    ],
)
def test_what_some_batches_have_and_what_has_a_default_is_no_mistake(checked, signature):
    assert checked("forward-keys", model=(FORWARD, signature)) == []


def test_keys_that_the_model_s_own_collate_adds_or_removes_count(checked):
    own = '''    @classmethod
    def collate(cls, features, context, stage, rng):
        """Add lengths, and drop the mask."""
        batch = super().collate(features, context, stage, rng)
        batch["lengths"] = batch.pop("attention_mask").sum(dim=-1)
        return batch

    def forward('''
    found = checked("forward-keys", model=("    def forward(", own))
    assert {finding.measured for finding in found} == {"lengths", "attention_mask"}


@pytest.mark.parametrize(
    "lines",
    [
        'return super().collate(features, context, stage, rng) | {"lengths": None}',
        'return {**super().collate(features, context, stage, rng), "lengths": None}',
        'batch = super().collate(features, context, stage, rng); batch |= {"lengths": None}; return batch',
        'more = {"lengths": None}; return super().collate(features, context, stage, rng) | more',
    ],
)
def test_a_key_may_come_into_the_batch_in_any_way(checked, lines):
    own = '    @classmethod\n    def collate(cls, features, context, stage, rng):\n        """Add lengths."""\n'
    signature = FORWARD.replace("labels", "lengths: Tensor, labels")
    checked("forward-keys", model=(FORWARD, signature))
    assert checked("forward-keys", model=("    def forward(", f"{own}        {lines}\n\n    def forward(")) == []


def test_a_model_with_steps_of_its_own_may_call_forward_as_it_likes(checked):
    steps = "".join(
        f"    def {step}(self, batch, batch_idx):\n        return self(batch['input_ids'], batch['attention_mask'])\n\n"
        for step in ("training_step", "validation_step", "test_step")
    )
    change = ("    def forward(", steps + "    def forward(")
    assert checked("forward-keys", model=change) == []
    assert checked("forward-keys", model=("labels: Tensor | None = None", "gold: Tensor | None = None")) == []


def test_a_lone_class_gets_the_tensors_of_its_family(lone):
    text = """
        from torch import nn

        class Model(nn.Module):
            def forward(self, images, labels=None):
                return images
    """
    [finding] = lone(text, "forward-keys", task="image").findings
    assert finding.measured == "images"
    assert "pixel_values" in finding.message


METRICS = '''    @classmethod
    def build_metrics(cls, context):
        """Measure."""
        return MetricCollection({"accuracy": torchmetrics.Accuracy(task="binary")})

    @classmethod
    def monitor(cls, context):
        """Name it."""
        return "val/NAME", "max"

    def forward('''


@pytest.mark.parametrize("name, measured", [("acc", ["val/acc"]), ("accuracy", []), ("loss", [])])
def test_the_task_s_monitor_has_to_be_logged(checked, name, measured):
    imports = ("from torch import Tensor", "import torchmetrics\nfrom torch import Tensor")
    checked("monitor", model=imports)
    found = checked("monitor", model=("    def forward(", METRICS.replace("NAME", name)))
    assert [finding.measured for finding in found] == measured


@pytest.mark.parametrize("name, measured", [("val/acc", ["val/acc"]), ("val_accuracy", [])])
def test_the_config_s_monitor_wins_over_the_task_s(checked, name, measured):
    checked("monitor", model=("from torch import Tensor", "import torchmetrics\nfrom torch import Tensor"))
    changes = {"model": ("    def forward(", METRICS), "conf_train": ("monitor: null", f"monitor: {name}")}
    assert [finding.measured for finding in checked("monitor", **changes)] == measured


def test_steps_of_one_s_own_log_only_what_they_log(checked):
    steps = "".join(
        f"    def {stage}_step(self, batch, batch_idx):\n        self.log('{stage}_loss', self(**batch).loss)\n\n"
        for stage in ("validation", "test")
    )
    found = checked("monitor", model=("    def forward(", steps + METRICS.replace("NAME", "accuracy")))
    assert [finding.measured for finding in found] == ["val/accuracy"]
    assert "validation_loss" in found[0].message


@pytest.mark.parametrize("kind, name", [("single", "val/f1"), ("multi", "val/exact_match"), ("regression", "val/mae")])
def test_the_metrics_of_each_kind_of_label_are_known(checked, kind, name):
    task = ("target: single", f"target: {kind}")
    assert checked("monitor", conf_task=task, conf_train=("monitor: null", f"monitor: {name}")) == []
    [finding] = checked("monitor", conf_train=(f"monitor: {name}", "monitor: val/rouge"))
    assert name in finding.message


def test_the_runtime_s_monitor_has_to_be_logged_by_a_step_of_one_s_own(checked):
    step = "    def validation_step(self, batch, batch_idx):\n        self.log('loss', self(**batch).loss)\n\n"
    [finding] = checked("monitor", model=("    def forward(", step + "    def forward("))
    assert (finding.measured, finding.file) == ("val/accuracy", "conf/train.yaml")


def test_metrics_of_somebody_s_own_are_left_open(checked, project):
    imports = ("from torch import Tensor", "from mymodel.task import Mine\nfrom torch import Tensor")
    checked("monitor", model=imports)
    metrics = METRICS.replace('torchmetrics.Accuracy(task="binary")', "Mine()")
    assert checked("monitor", model=("    def forward(", metrics)) == []
    [item] = [item for item in check_path(project, static=True).not_checked if item.rule == "monitor"]
    assert item.until == "monitor-logged"


@pytest.mark.parametrize("logged, found", [('"val_loss"', []), ('f"val_{name}"', []), ('"val_los"', ["val_loss"])])
def test_names_of_a_lone_module_are_compared_with_what_it_logs(lone, logged, found):
    text = f"""
        import lightning.pytorch as pl
        import torch

        class Model(pl.LightningModule):
            def validation_step(self, batch, batch_idx):
                for name in ["loss"]:
                    self.log({logged}, batch.mean())

            def configure_optimizers(self):
                optimizer = torch.optim.AdamW(self.parameters())
                return {{"optimizer": optimizer, "lr_scheduler": {{"scheduler": optimizer, "monitor": "val_loss"}}}}
    """
    assert [finding.measured for finding in lone(text, "monitor").findings] == found


def test_metrics_that_are_known_only_when_the_code_runs_are_left_open(lone):
    text = """
        import lightning.pytorch as pl
        from lightning.pytorch.callbacks import EarlyStopping

        class Model(pl.LightningModule):
            def validation_step(self, batch, batch_idx):
                self.log_dict(self.measure(batch))

        stop = EarlyStopping(monitor="val_loss")
    """
    report = lone(text, "monitor")
    assert report.findings == ()
    assert "val_loss" in report.not_checked[0].reason


@pytest.mark.parametrize("hook", ["validation_epoch_end", "training_epoch_end", "on_epoch_end", "validation_step_end"])
def test_a_hook_that_is_gone_is_found(lone, hook):
    text = f"""
        import pytorch_lightning as pl

        class Model(pl.LightningModule):
            def {hook}(self, outputs):
                pass
    """
    [finding] = lone(text, "removed-hook").findings
    assert finding.measured == hook


@pytest.mark.parametrize(
    "line, measured",
    [
        ("def on_validation_epoch_end(self, outputs):", "outputs"),
        ("def training_step(self, batch, batch_idx, optimizer_idx):", "optimizer_idx"),
        ("def on_validation_epoch_end(self):", None),
    ],
)
def test_arguments_that_hooks_no_longer_get_are_found(lone, line, measured):
    text = f"import lightning as L\n\nclass Model(L.LightningModule):\n    {line}\n        pass\n"
    assert [finding.measured for finding in lone(text, "removed-hook").findings] == ([measured] if measured else [])


def test_a_method_that_the_code_itself_calls_is_no_lost_hook(lone):
    text = """
        import lightning.pytorch as pl

        class Model(pl.LightningModule):
            def on_epoch_end(self):
                pass

            def configure_optimizer(self):
                return None

            def configure_optimizers(self):
                self.on_epoch_end()
                return self.configure_optimizer()
    """
    assert lone(text, "removed-hook", "unknown-hook").findings == ()


@pytest.mark.parametrize("name", ["validate_step", "trainning_step", "on_train_epoch_ended", "configure_optimiser"])
def test_a_misspelt_hook_is_found(lone, name):
    text = f"""
        import lightning.pytorch as pl

        class Model(pl.LightningModule):
            def {name}(self, batch, batch_idx):
                return batch.mean()
    """
    [finding] = lone(text, "unknown-hook").findings
    assert finding.measured == name


def test_a_stub_says_what_it_must_return(checked):
    body = "        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state\n"
    [finding] = checked("stub", model=(body, "        raise NotImplementedError\n" + body))
    assert finding.message == "forward is not written yet: it must return ClassificationOutput"


@pytest.mark.parametrize(
    "body",
    [
        "if kind == 'mean':\n            return 1\n        raise NotImplementedError(kind)",
        "raise NotImplementedError('tied embeddings are not supported')",
        "raise ValueError('no')",
        "return None",
    ],
)
def test_refusing_is_no_stub(lone, body):
    text = f"class Model:\n    def pool(self, kind):\n        {body}\n"
    assert lone(text, "stub").findings == ()


def test_a_method_that_a_subclass_writes_is_no_stub(lone):
    text = """
        from abc import ABC, abstractmethod

        class Base(ABC):
            def encode(self, text):
                raise NotImplementedError

            @abstractmethod
            def decode(self, ids):
                raise NotImplementedError

        class Model(Base):
            def encode(self, text):
                return [text]
    """
    assert lone(text, "stub").findings == ()
