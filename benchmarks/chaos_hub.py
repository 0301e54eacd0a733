"""SIGKILL and power cuts of the hub, again and again, while producers send and subscribers listen: what is lost?

Four producers send batches of 1 to 60 events, up to 4 batches on their way each; an event counts as acknowledged once
its producer has the ack. Kills fall into the middle of sending; producers send again what was not acknowledged, and
subscribers come back from the last event that they have. A power cut is a SIGKILL on a disk over FUSE that then loses
what was not synced and tears the last write. Each control has a protection off and must fail.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from report import print_rows

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.server.hub_chaos import Chaos, Plan
from tests.server.lossy_disk import NoLossyDiskError, lossy_disk

TABLE = "What is lost where a hub is killed while producers send and subscribers listen"
CONTROLS = {"control: events without producer and number": "doubled", "control: no fsync": "lost"}


def plans(*, quick: bool) -> dict[str, Plan]:
    """Gives what is done, by name."""
    kills, cuts = (5, 2) if quick else (100, 20)
    return {
        "SIGKILL": Plan(num_events=1000 * kills, num_kills=kills),
        "power cut": Plan(num_events=1000 * cuts, num_kills=cuts, cuts_power=True),
        "control: events without producer and number": Plan(
            num_events=500 * cuts, num_kills=cuts // 2, num_subscribers=0, identified=False
        ),
        "control: no fsync": Plan(
            num_events=500 * cuts, num_kills=cuts // 2, num_subscribers=0, cuts_power=True, options=["--without_fsync"]
        ),
    }


def row(name: str, plan: Plan) -> dict[str, Any]:
    """Does one of them and gives what came of it."""
    with tempfile.TemporaryDirectory(prefix=".chaos_hub-", dir=Path(__file__).parent) as folder, ExitStack() as stack:
        storage = Path(folder) / "storage"
        if plan.cuts_power:
            try:
                storage = stack.enter_context(lossy_disk(Path(folder) / "disk"))
            except NoLossyDiskError as error:
                return {"table": TABLE, "what": name, "verdict": f"not measured: {error}"}
        outcome = Chaos(plan, storage).run()
    expected = CONTROLS.get(name)
    is_as_expected = outcome.is_clean if expected is None else getattr(outcome, expected) > 0
    return {
        "table": TABLE,
        "what": name,
        "kills": outcome.num_kills,
        "events": f"{plan.num_events:,}",
        "sent, repeats included": f"{outcome.num_sent:,}",
        "acknowledged and lost": outcome.lost,
        "doubled": outcome.doubled,
        "producers out of order": outcome.disordered,
        "subscribers without the exact log": f"{outcome.wrong_views} of {plan.num_subscribers}",
        "s until it answers again": f"{outcome.recovery_s:.2f}",
        "s in all": f"{outcome.wall_s:.0f}",
        "verdict": "as it should be" if is_as_expected else "FAILED",
    }


def rows(*, quick: bool = False) -> list[dict[str, Any]]:
    """Gives all results, one dict a row."""
    found = []
    for name, plan in plans(quick=quick).items():
        found.append(row(name, plan))
        print_rows(found[-1:])
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few kills")
    print_rows(rows(quick=parser.parse_args().quick))
