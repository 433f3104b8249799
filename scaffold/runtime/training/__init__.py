"""A run from start to end: its folder, its Trainer, what watches over it, and its checkpoints."""
