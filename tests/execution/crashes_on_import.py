"""A preload that crashes the interpreter."""

import ctypes

print("about to crash")
ctypes.string_at(0)
