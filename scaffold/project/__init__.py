"""Writes projects: names, catalog, layers, render, record, create."""
