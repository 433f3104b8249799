"""Standalone projects for people who build their own model; importing this package imports nothing else."""

__version__ = "0.4.0"
