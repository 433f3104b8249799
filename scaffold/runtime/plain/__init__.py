"""A plain `nn.Module`: registered by a name, built from a config, trained in any of three loops."""
