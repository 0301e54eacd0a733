"""What the parts of a split are called where they are measured: a loader may have another name for one."""

from __future__ import annotations

from mlgym.config import ModeView
from mlgym.config.forms import Form, RangeForms, Sweep, Use
from mlgym.config.nodes import Path


class PartNames:
    """Follows the parts of a split through components that pass datasets on by name, such as `standardize`."""

    def __init__(self, view: ModeView, split: str, parts: tuple[str, ...]) -> None:
        """Follows them.

        Args:
            view: the config.
            split: the component.
            parts: its parts.
        """
        self._names: dict[str, dict[str, None]] = {part: {part: None} for part in parts}
        self._known = {(split, part): part for part in parts}
        self._references = [
            (path, reference)
            for section, form in view.tree.sections()
            for path, reference in view.tree.references(form, section)
        ]
        self._passing = {name: _passing_params(view, form) for name, form in view.tree.components.items()}
        while self._follow():
            pass

    def measured(self, part: str) -> str:
        """Gives the name that metrics have, `val` of `val/f1_macro`: the one furthest from the split."""
        return list(self._names[part])[-1]

    def all_of(self, part: str) -> set[str]:
        """Gives every name that a part has."""
        return set(self._names.get(part, ()))

    def _follow(self) -> bool:
        num_known = len(self._known)
        for path, reference in self._references:
            target = reference.target
            if target.output is None:
                for (name, output), part in list(self._known.items()):
                    if name == target.name:
                        self._pass_on((*path, output), part)
            elif (target.name, target.output) in self._known:
                self._pass_on(path, self._known[target.name, target.output])
        return len(self._known) > num_known

    def _pass_on(self, path: Path, part: str) -> None:
        """Takes a part into account that stands at a key path, such as `components.loaders.datasets.val`."""
        if len(path) == 4 and path[0] == "components" and path[2] in self._passing.get(str(path[1]), ()):
            component, key = str(path[1]), str(path[3])
            self._known.setdefault((component, key), part)
            self._names[part].setdefault(key, None)


def _passing_params(view: ModeView, form: Form) -> set[str]:
    """Gives the parameters whose keys are the outputs of a component, in all alternatives."""
    form = view.tree.follow(form)
    if isinstance(form, Sweep) and not isinstance(form.alternatives, RangeForms):
        return {name for alternative in form.alternatives for name in _passing_params(view, alternative)}
    if not isinstance(form, Use) or form.name not in view.registry:
        return set()
    outputs = view.registry.find(form.name).outputs
    return set() if outputs is None else {outputs}
