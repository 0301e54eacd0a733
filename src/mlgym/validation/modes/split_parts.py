"""The split that a mode takes the place of: its parts, which of them is held out, and the config that follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mlgym.config import ModeView, Registry
from mlgym.config.forms import Entries, Form, Hole, Sweep, Use
from mlgym.errors import Fault, RunError
from mlgym.names import did_you_mean
from mlgym.validation.modes.folding import Folding
from mlgym.validation.modes.select import references_to

TRAIN: Final = "train"
TEST: Final = "test"
VALIDATION_NAMES: Final = ("val", "validation", "dev")
DATASET: Final = "dataset"


@dataclass(frozen=True)
class NamedSplit:
    """A named component of the config that gives the parts of one dataset.

    Args:
        name: of the component.
        parts: what it gives, as far as the config says or uses it.
        registry: the components.
    """

    name: str
    parts: tuple[str, ...]
    registry: Registry

    @classmethod
    def of(cls, view: ModeView, name: str) -> NamedSplit:
        """Gives the split of a config; its parts are those it names, or else those that the config uses."""
        parts: dict[str, None] = {}
        for use in _alternatives(view, view.tree.components.get(name)):
            key = view.registry.find(use.name).outputs if use.name in view.registry else None
            named = view.tree.follow(use.params[key]) if key is not None and key in use.params else None
            parts |= dict.fromkeys(named.entries if isinstance(named, Entries) else ())
        if not parts:
            outputs = [reference.target.output for reference in references_to(view.tree, name)]
            parts = dict.fromkeys(output for output in outputs if output is not None)
        return cls(name, tuple(parts), view.registry)

    def faults(self, view: ModeView) -> list[Fault]:
        """Gives why nothing can take its place."""
        form = view.tree.components.get(self.name)
        if form is not None and isinstance(view.tree.follow(form), Hole):  # told already
            return []
        complaint = self._complaint(view, form)
        return [view.fault("split", complaint)] if complaint else []

    def _complaint(self, view: ModeView, form: Form | None) -> str | None:
        if form is None:
            near = did_you_mean(self.name, view.tree.components)
            what = "names the component that gives train, val and test; it is replaced by folds"
            return f"no component named `{self.name}`{near}: `split` {what}"
        if not references_to(view.tree, self.name):
            return f"`{self.name}` is used by nothing, so that no fold would be seen"
        uses = _alternatives(view, form)
        if not uses:
            return f"`{self.name}` is no component with a `dataset` that could be split into folds"
        whole = next((use.name for use in uses if DATASET not in use.params), None)
        if whole is not None:
            return (
                f"`{self.name}` is `{whole}`, which is given no `dataset` to be split into folds; name a component "
                "such as `stratified_split`"
            )
        if TRAIN not in self.parts:
            listed = ", ".join(self.parts) or "none that the config uses"
            return f"`{self.name}` needs a part `train`, which folds are made of; it has {listed}"
        return None

    @property
    def others(self) -> tuple[str, ...]:
        """The parts beside the training part."""
        return tuple(part for part in self.parts if part != TRAIN)

    def rewritten(self, config: dict[str, Any], cuts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Gives the config of an experiment with the split replaced.

        Args:
            config: the config of a point.
            cuts: as `fold_split` takes them.

        Raises:
            RunError: this point of the grid does not use the split, since another alternative of a sweep does.
        """
        split = self._own(config)
        replaced = {"use": "fold_split", DATASET: split[DATASET], "cuts": list(cuts), "rest": TRAIN}
        return {**config, "components": {**config["components"], self.name: replaced}}

    def _own(self, config: Mapping[str, Any]) -> dict[str, Any]:
        split: dict[str, Any] | None = config["components"].get(self.name)
        if split is None:
            raise RunError(
                f"`validation.split` is `{self.name}`, which only some alternatives of a sweep use: folds have to be "
                "those of all configurations. Put the sweep behind the split"
            )
        return split

    def shares(self, config: Mapping[str, Any]) -> dict[str, float]:
        """Gives the share of each part as the split itself has it, summing to 1; nothing where it does not say.

        Args:
            config: the config of a point.
        """
        split = self._own(config)
        key = self.registry.find(split["use"]).outputs
        written = split.get(key) if key is not None else None
        if not isinstance(written, dict):
            return {}
        total = sum(written.values())
        return {part: value / total for part, value in written.items()}

    def faults_of_shares(self, view: ModeView, parts: Sequence[str], given: Mapping[str, float]) -> list[Fault]:
        """Gives a fault where the size of a part is not known that is cut off beside the folds."""
        for part in parts:
            if part in given:
                continue
            for use in _alternatives(view, view.tree.components.get(self.name)):
                key = view.registry.find(use.name).outputs if use.name in view.registry else None
                if key is None or key not in use.params:
                    message = f"say how large `{part}` is: `shares: {{{part}: 0.15}}`"
                    return [view.fault("shares", message)]
        unknown = [part for part in given if part not in parts]
        if unknown:
            listed = ", ".join(parts) or "none"
            return [view.fault("shares", f"no part `{unknown[0]}` is cut off beside the folds (those are: {listed})")]
        return []


@dataclass(frozen=True)
class ShareCuts:
    """Sets parts apart whose size is a share.

    Args:
        folding: in whose manner: by groups, by class, or the latest rows.
        own: the share of each part of the split, summing to 1; empty where it is not known.
        given: instead of those, shares of the rows that are there when the part is cut off.
        seed: of the drawing.
    """

    folding: Folding
    own: Mapping[str, float]
    given: Mapping[str, float]
    seed: int

    def of(self, parts: Sequence[str], rest: Sequence[str]) -> list[dict[str, Any]]:
        """Gives the cuts.

        Args:
            parts: what is cut off, in this order.
            rest: the parts that the rows become that are left.
        """
        return [
            self.folding.share_cut(part, self._share(part, (*parts[place:], *rest)), self.seed)
            for place, part in enumerate(parts)
        ]

    def _share(self, part: str, there: Sequence[str]) -> float:
        if part in self.given:
            return self.given[part]
        return round(self.own[part] / sum(self.own.get(other, 0.0) for other in there), 12)


def validation_part(others: Sequence[str]) -> str | None:
    """Gives the part that decisions are made by: the one called so, or the only one; None where it is not clear."""
    named = [part for part in others if part in VALIDATION_NAMES]
    return named[0] if named else others[0] if len(others) == 1 else None


def _alternatives(view: ModeView, form: Form | None) -> list[Use]:
    form = None if form is None else view.tree.follow(form)
    if isinstance(form, Use):
        return [form]
    if isinstance(form, Sweep):
        return [use for alternative in form.alternatives for use in _alternatives(view, alternative)]
    return []
