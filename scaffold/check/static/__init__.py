"""Rules that read code and config and run nothing; one per file."""
