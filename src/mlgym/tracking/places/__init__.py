"""Places for checkpoints beside the run folder: behind a URL, or at a hub."""

from mlgym.tracking.places.opening import HUB, check_place, claim_place, open_place, resolved_place
from mlgym.tracking.places.place import CheckpointPlace

__all__ = ["HUB", "CheckpointPlace", "check_place", "claim_place", "open_place", "resolved_place"]
