"""Rules that run the model on tiny batches; one per file."""
