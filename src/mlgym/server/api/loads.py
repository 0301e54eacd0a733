"""What the process of an experiment used over time: processor, memory, GPU, rate."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final

from mlgym.server.projection.decimate import Curve, kept
from mlgym.server.projection.index import LOADS
from mlgym.server.projection.projection import Projection, View

_UNITS: Final = {
    "steps_per_s": "steps/s",
    "cpu_percent": "percent",
    "rss_bytes": "bytes",
    "gpu_percent": "percent",
    "gpu_memory_bytes": "bytes",
}


def loads_of(projection: Projection, view: View, experiment_id: int, max_points: int) -> dict[str, Any]:
    """Gives `SystemMetricColumns`.

    Args:
        projection: the run, held.
        view: as of when.
        experiment_id: whose.
        max_points: at most so many of each column; smallest and largest values stay.
    """
    import numpy as np

    index = projection.index
    count = bisect_left(index.load_ids, view.at)
    rows = np.flatnonzero(np.array(index.load_experiments[:count]) == experiment_id)
    times = np.array(index.load_times)[rows]
    columns = {name: np.array(getattr(index, name))[rows] for name in LOADS}
    known = {name: ~np.isnan(values) for name, values in columns.items()}
    told = [name for name in LOADS if known[name].any()]
    curves = [Curve(times[known[name]], columns[name][known[name]]) for name in told]
    series = [
        {
            "key": name,
            "unit": _UNITS[name],
            "num_points": len(curve.values),
            "times": curve.x[places].tolist(),
            "values": curve.values[places].tolist(),
        }
        for name, curve, places in zip(told, curves, kept(curves, max_points, "minmax"), strict=True)
    ]
    return {"at": view.at, "experiment_id": experiment_id, "series": series}
