"""A preload that takes long."""

import time

time.sleep(30)
