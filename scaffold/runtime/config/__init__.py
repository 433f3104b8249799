"""The config: composed, checked, and turned into objects."""
