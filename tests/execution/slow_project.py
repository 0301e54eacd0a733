"""A config that trains for real, slowly, with a module of the user's beside it; for runs on clusters.

Both stand here once: a process takes a name of a component from one module only, and tests share processes.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Final

import mlgym
from mlgym.events import read_log

# Beside the config, so that it has to travel; slow while a file is there, so that something can happen meanwhile, and
# not so slow that an experiment does not hear that it is to stop. The delay changes no result.
MODULE: Final = """
import itertools
import time
from pathlib import Path

from torch import Tensor
from torch.nn import functional

from mlgym import register

print("loaded from", __file__)
batches = itertools.count()


@register("slow_cross_entropy", call_args=("prediction", "target"))
def slow_cross_entropy(prediction: Tensor, target: Tensor, slow_while: str = "", after_batches: int = 0) -> Tensor:
    if prediction.requires_grad and next(batches) >= after_batches:
        until = time.monotonic() + 2.0
        while time.monotonic() < until and Path(slow_while).is_file():
            time.sleep(0.02)
    return functional.cross_entropy(prediction, target)
"""
LEARNING_RATES: Final = "{sweep: [1e-2, 1e-3, 3e-3]}"
CONFIG: Final = f"""
version: 1
name: slow
extends: preset/classification
imports: [slow_loss]
components:
  data: {{use: digits}}
  model: {{use: mlp, hidden: [16], dropout: 0.2}}
  optimizer: {{use: adam, model: $model, lr: {LEARNING_RATES}}}
  loss: {{use: slow_cross_entropy, slow_while: "", after_batches: 0}}
  loaders: {{batch_size: 64}}
experiment: {{epochs: 4, early_stopping: [], checkpoint_every_n_steps: 8}}
"""
_RESULTS: Final = ("evaluation_result", "digest", "training_stopped", "data_fingerprint")


def write_project(folder: Path) -> Path:
    """Writes the config, with the module beside it, into a new folder and gives its path."""
    folder.mkdir()
    (folder / "slow_loss.py").write_text(MODULE)
    path = folder / "slow.yml"
    path.write_text(CONFIG)
    return path


def slowly(file: Path, after_batches: int) -> list[str]:
    """Makes a file, and gives the overrides that have each experiment be slow after some batches while it is there."""
    file.touch()
    return [f"loss.slow_while={file}", f"loss.after_batches={after_batches}"]


def results(run: Path) -> Counter[str]:
    """Gives each result in a run's log, as text, with how often it stands there."""
    found: Counter[str] = Counter()
    for _, event in read_log(run / "event_storage.log"):
        if event["event_type"] in _RESULTS:
            payload = {key: value for key, value in event["payload"].items() if key != "grid_search_id"}
            found[json.dumps([event["event_type"], payload], sort_keys=True)] += 1
    return found


def results_at_home(config: Path, storage: Path) -> Counter[str]:
    """Gives what a run of the config gives in this process."""
    run = mlgym.run(config, storage=storage, executor="inline", progress=False)
    assert (run.exit_code, run.num_failed) == (0, 0), [one.error for one in run.state.experiments.values()]
    return results(run.path)
