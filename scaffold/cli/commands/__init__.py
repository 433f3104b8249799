"""One command per module; the folder is the registry."""
