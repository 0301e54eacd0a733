"""A preload that fails."""

raise RuntimeError("no licence file")
