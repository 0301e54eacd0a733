# ruff: noqa: T201 - printing is what these are for
"""A preload that crashes the interpreter."""

import ctypes

print("about to crash")
ctypes.string_at(0)
