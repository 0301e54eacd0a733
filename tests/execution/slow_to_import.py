"""A preload that takes longer than any test."""

import time

time.sleep(600)
