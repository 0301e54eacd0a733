"""Running experiments: executors, the scheduler, and the driver that launches a run. Imports no PyTorch."""
