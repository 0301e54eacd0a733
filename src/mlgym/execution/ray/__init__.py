"""Experiments as tasks of a Ray cluster; Ray itself is imported only where a cluster is asked for."""

from mlgym.execution.ray.ray_options import RayOptions

__all__ = ["RayOptions"]
