"""A process per job on this machine, forked from a server that has everything imported."""
