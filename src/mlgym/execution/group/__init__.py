"""One experiment in several processes, a rank on each of its devices: started, watched and ended together.

`local` is the group that a worker starts on its own machine; `together` are the processes that `torchrun` started.
What the ranks compute together is in `mlgym.training`. Ranks find each other as those of `torchrun` do: by `RANK`,
`WORLD_SIZE`, `LOCAL_RANK`, `MASTER_ADDR` and `MASTER_PORT`.
"""
