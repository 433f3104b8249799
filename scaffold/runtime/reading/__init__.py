"""Data files: from bytes to checked rows that know where they stand."""
