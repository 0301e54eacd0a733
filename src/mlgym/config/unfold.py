"""One point of a search space as plain data: each sweep replaced by its alternative, `$vars` by what they stand for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from mlgym.config.axes import Axis
from mlgym.config.forms import Entries, FactReference, Form, Items, Reference, Sweep, Use, Value
from mlgym.config.nodes import override_key, shorten
from mlgym.config.scalars import word
from mlgym.config.tree import Tree


class Unfolding:
    """Writes out a config with the alternatives of one point."""

    def __init__(self, tree: Tree, choices: Mapping[Axis, int]) -> None:
        """Sets the point.

        Args:
            tree: the config.
            choices: the alternative of each axis that matters.
        """
        self._tree = tree
        self._choices = {sweep: chosen for axis, chosen in choices.items() for sweep in axis.sweeps}
        self._needed: dict[str, None] = {}

    def sections(self) -> dict[str, Any]:
        """Gives seed, components and experiment; of the components those that the experiment needs here."""
        sections = {"seed": self.plain(self._tree.seed)}
        experiment = self.plain(self._tree.experiment)
        components: dict[str, Any] = {}
        while missing := [name for name in self._needed if name not in components]:
            for name in missing:
                components[name] = self.plain(self._tree.components[name])
        ordered = {name: components[name] for name in self._tree.components if name in components}
        return {**sections, "components": ordered, "experiment": experiment}

    def plain(self, form: Form) -> Any:
        """Gives a form as plain data; references stay as they are written."""
        form = self._tree.follow(form)
        match form:
            case Value():
                return form.written
            case Use():
                return {"use": form.name, **{key: self.plain(param) for key, param in form.params.items()}}
            case Items():
                return [self.plain(item) for item in form.items]
            case Entries():
                return {key: self.plain(entry) for key, entry in form.entries.items()}
            case Sweep():
                return self.plain(form.alternatives[self._choices[form]])
            case Reference():
                self._needed[form.target.name] = None
                return str(form.target)
            case FactReference():
                return str(form.target)
        raise AssertionError("holes are refused before anything is unfolded")


class Labels:
    """Short names for sweeps and their alternatives, for tables."""

    def __init__(self, tree: Tree) -> None:
        """Sets the config."""
        self._tree = tree
        self._by_sweep: dict[Sweep, list[str]] = {}

    def key(self, sweep: Sweep) -> str:
        """Gives the name of what a sweep varies: the key that an override would have."""
        path = list(sweep.origin)
        for i in range(len(path) - 2, -1, -1):
            if path[i] == "sweep" and isinstance(path[i + 1], int):
                del path[i : i + 2]
        return override_key(tuple(path))

    def swept(self, choices: Mapping[Axis, int], unfolding: Unfolding) -> dict[str, Any]:
        """Gives the chosen value of each sweep by its name, sorted as the axes are."""
        found: dict[str, Any] = {}
        for axis in sorted(choices, key=lambda axis: axis.order):
            for sweep in axis.sweeps:
                chosen = self._tree.follow(sweep.alternatives[choices[axis]])
                if isinstance(chosen, Sweep):  # alternatives of an alternative: the inner one says it all
                    continue
                found[self.key(sweep)] = self._shown(sweep, choices[axis], chosen, unfolding)
        return found

    def _shown(self, sweep: Sweep, index: int, chosen: Form, unfolding: Unfolding) -> Any:
        if isinstance(chosen, Value):
            return chosen.value
        if not isinstance(chosen, Use):
            return unfolding.plain(chosen)
        if sweep not in self._by_sweep:
            self._by_sweep[sweep] = self._names(sweep)
        return self._by_sweep[sweep][index]

    def _names(self, sweep: Sweep) -> list[str]:
        """Gives `adam`, or `adam(lr=0.1)` where several alternatives are called `adam`."""
        alternatives = [self._tree.follow(alternative) for alternative in sweep.alternatives]
        if sweep.is_of_names:
            return [form.name if isinstance(form, Use) else "" for form in alternatives]
        names = [form.name if isinstance(form, Use) else "" for form in alternatives]
        params = [self._params(form) if isinstance(form, Use) else {} for form in alternatives]
        variety: dict[tuple[str, str], set[str]] = defaultdict(set)
        for name, own in zip(names, params, strict=True):
            for key, text in own.items():
                variety[name, key].add(text)
        counts = Counter((name, key) for name, own in zip(names, params, strict=True) for key in own)
        num_named = Counter(names)
        labels = []
        for name, own in zip(names, params, strict=True):
            shown = ", ".join(
                f"{key}={text}"
                for key, text in own.items()
                if len(variety[name, key]) > 1 or counts[name, key] < num_named[name]
            )
            labels.append(f"{name}({shown})" if shown else name)
        twins = Counter(labels)
        return [label if twins[label] == 1 else f"{label}[{i}]" for i, label in enumerate(labels)]

    def _params(self, use: Use) -> dict[str, str]:
        # What is swept inside has a column of its own.
        followed = {key: self._tree.follow(form) for key, form in use.params.items()}
        return {key: shorten(self._text(form), 40) for key, form in followed.items() if not isinstance(form, Sweep)}

    def _text(self, form: Form) -> str:
        form = self._tree.follow(form)
        match form:
            case Value():
                return word(form.value)
            case Use():
                inside = ", ".join(f"{key}={self._text(param)}" for key, param in form.params.items())
                return f"{form.name}({inside})" if inside else form.name
            case Items():
                return f"[{', '.join(self._text(item) for item in form.items)}]"
            case Entries():
                return f"{{{', '.join(f'{key}: {self._text(entry)}' for key, entry in form.entries.items())}}}"
            case Sweep():
                return "..."
            case Reference() | FactReference():
                return str(form.target)
        return ""
