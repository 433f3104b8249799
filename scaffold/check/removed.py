"""What today's libraries no longer have, in one table; a test holds it against the libraries that are installed."""

from __future__ import annotations

from scaffold.check.code import words

# hooks that Lightning 2 never calls -> what does their work now
HOOKS = {
    "training_epoch_end": "on_train_epoch_end(self)",
    "validation_epoch_end": "on_validation_epoch_end(self)",
    "test_epoch_end": "on_test_epoch_end(self)",
    "predict_epoch_end": "on_predict_epoch_end(self)",
    "training_step_end": "training_step",
    "validation_step_end": "validation_step",
    "test_step_end": "test_step",
    "predict_step_end": "predict_step",
    "training_end": "on_train_epoch_end(self)",
    "validation_end": "on_validation_epoch_end(self)",
    "test_end": "on_test_epoch_end(self)",
    "tbptt_split_batch": "training_step",
    "on_epoch_start": "on_train_epoch_start",
    "on_epoch_end": "on_train_epoch_end",
    "on_batch_start": "on_train_batch_start",
    "on_batch_end": "on_train_batch_end",
    "on_pretrain_routine_start": "on_fit_start",
    "on_pretrain_routine_end": "on_fit_start",
    "on_before_accelerator_backend_setup": "setup",
    "on_configure_sharded_model": "configure_model",
    "on_init_start": "setup",
    "on_init_end": "setup",
    "on_keyboard_interrupt": "on_exception",
    "on_train_dataloader": "train_dataloader",
    "on_val_dataloader": "val_dataloader",
    "on_test_dataloader": "test_dataloader",
    "on_hpc_save": "on_save_checkpoint",
    "on_hpc_load": "on_load_checkpoint",
    "get_progress_bar_dict": "log(…, prog_bar=True)",
}

# full name -> what to use instead
NAMES = {
    "transformers.AdamW": "torch.optim.AdamW",
    "transformers.AutoModelWithLMHead": "AutoModelForCausalLM, AutoModelForMaskedLM or AutoModelForSeq2SeqLM",
    "transformers.DataCollatorForWholeWordMask": "DataCollatorForLanguageModeling(whole_word_mask=True)",
    "transformers.LineByLineTextDataset": "datasets.load_dataset",
    "transformers.TextDataset": "datasets.load_dataset",
    "transformers.SummarizationPipeline": "model.generate",
    "transformers.TranslationPipeline": "model.generate",
    "transformers.Text2TextGenerationPipeline": "model.generate",
    "transformers.QuestionAnsweringPipeline": "the logits of a question-answering model",
    "torchmetrics.F1": "F1Score(task=…)",
    "torchmetrics.IoU": "JaccardIndex(task=…)",
    "torchmetrics.FBeta": "FBetaScore(task=…)",
    "torchmetrics.functional.f1": "functional.f1_score(…, task=…)",
    "pytorch_lightning.metrics": "torchmetrics",
    "lightning.pytorch.metrics": "torchmetrics",
}

# methods of any tokenizer or model -> what to call instead
METHODS = {
    "encode_plus": "the tokenizer itself: tokenizer(text)",
    "batch_encode_plus": "the tokenizer itself: tokenizer(texts)",
    "as_target_tokenizer": "tokenizer(text_target=…)",
    "prepare_seq2seq_batch": "tokenizer(texts, text_target=…)",
}

# full name of a callable -> its arguments that are gone -> what to use instead
TRAINING_ARGUMENTS = {
    "evaluation_strategy": "eval_strategy",
    "group_by_length": 'train_sampling_strategy="group_by_length"',
    "logging_dir": "the environment variable TENSORBOARD_LOGGING_DIR",
    "no_cuda": "use_cpu",
    "overwrite_output_dir": "another output_dir",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "save_safetensors": "nothing: it is always safetensors",
    "warmup_ratio": "warmup_steps, which takes a share too",
}
TRAINER = {
    "accelerator_backend": "accelerator",
    "amp_backend": "precision",
    "amp_level": "precision",
    "auto_lr_find": "lightning.pytorch.tuner.Tuner",
    "auto_scale_batch_size": "lightning.pytorch.tuner.Tuner",
    "auto_select_gpus": 'devices="auto"',
    "checkpoint_callback": "enable_checkpointing",
    "distributed_backend": "strategy",
    "flush_logs_every_n_steps": "an argument of the logger",
    "gpus": 'accelerator="gpu", devices=…',
    "ipus": "accelerator and devices",
    "log_gpu_memory": "DeviceStatsMonitor",
    "move_metrics_to_cpu": "compute_on_cpu of the metrics",
    "multiple_trainloader_mode": "CombinedLoader",
    "num_processes": 'accelerator="cpu", devices=…',
    "progress_bar_refresh_rate": "TQDMProgressBar(refresh_rate=…)",
    "replace_sampler_ddp": "use_distributed_sampler",
    "reload_dataloaders_every_epoch": "reload_dataloaders_every_n_epochs=1",
    "resume_from_checkpoint": "trainer.fit(…, ckpt_path=…)",
    "stochastic_weight_avg": "StochasticWeightAveraging",
    "terminate_on_nan": "detect_anomaly",
    "tpu_cores": 'accelerator="tpu", devices=…',
    "track_grad_norm": "log the norm in on_before_optimizer_step",
    "truncated_bptt_steps": "manual optimization",
    "weights_save_path": "default_root_dir",
    "weights_summary": "enable_model_summary",
}
ARGUMENTS = {
    "transformers.TrainingArguments": TRAINING_ARGUMENTS,
    "transformers.Seq2SeqTrainingArguments": TRAINING_ARGUMENTS,
    "transformers.Trainer": {"tokenizer": "processing_class"},
    "transformers.Seq2SeqTrainer": {"tokenizer": "processing_class"},
    "lightning.pytorch.Trainer": TRAINER,
}
PIPELINES = ("question-answering", "summarization", "text2text-generation", "translation")

# classification metrics that choose their class by `task`, and what each task needs besides
METRICS = words(
    """Accuracy AUROC AveragePrecision CalibrationError CohenKappa ConfusionMatrix ExactMatch F1Score FBetaScore
    HammingDistance HingeLoss JaccardIndex LogAUC MatthewsCorrCoef NegativePredictiveValue Precision
    PrecisionAtFixedRecall PrecisionRecallCurve ROC Recall RecallAtFixedPrecision SensitivityAtSpecificity Specificity
    SpecificityAtSensitivity StatScores"""
)
METRIC_FUNCTIONS = words(
    """accuracy auroc average_precision calibration_error cohen_kappa confusion_matrix exact_match f1_score fbeta_score
    hamming_distance hinge_loss jaccard_index logauc matthews_corrcoef precision precision_recall_curve recall roc
    specificity stat_scores"""
)
METRIC_NEEDS = {"multiclass": "num_classes", "multilabel": "num_labels"}
