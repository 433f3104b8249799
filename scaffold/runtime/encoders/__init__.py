"""The encoder under a model and its tokenizer: from scratch or pretrained, made again from plain data."""
