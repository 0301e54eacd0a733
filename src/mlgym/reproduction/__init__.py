"""Proving that a result repeats: what differs between two runs, where they part, and the verdict."""
