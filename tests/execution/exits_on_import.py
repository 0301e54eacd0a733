"""A preload that ends the interpreter."""

import sys

sys.exit(3)
