"""Experiments as tasks of a Ray cluster; Ray itself is imported only where a cluster is asked for."""
