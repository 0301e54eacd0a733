"""What decides between configurations: the setting `select`, its defaults, and warnings where it looks at test data."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias, TypedDict

from mlgym.config import ModeView
from mlgym.config.circles import build_order, needs_of, used_components
from mlgym.config.forms import Form, Reference, Use, Value
from mlgym.config.nodes import Path
from mlgym.config.scores import is_measured, unmeasured_text
from mlgym.config.signature import signature_of
from mlgym.config.tree import Tree
from mlgym.errors import Fault
from mlgym.names import Best
from mlgym.validation.ranking import Selection, smaller_is_better

At: TypeAlias = Literal["best", "last"]
Rule: TypeAlias = Literal["best", "one_standard_error"]
TEST: Final = "test"


class _Metric(TypedDict):
    metric: str


class Select(_Metric, total=False):
    """What decides between configurations.

    Args:
        metric: `split/metric`, such as `val/f1_macro`.
        best: whether its smallest or largest value is the best; by default what early stopping or checkpoints say of
            it, else what is usual for its name.
        at: which epoch of an experiment counts: the one with the best value (default), or the last.
        rule: `best`, or in a nested cross validation `one_standard_error`: the first configuration whose mean is within
            one standard error of the best; sweep from the simple to the complex then.
    """

    best: Best
    at: At
    rule: Rule


@dataclass(frozen=True, slots=True)
class Decision:
    """The setting with its defaults; see `Select`."""

    metric: str
    best: Best
    at: At
    rule: Rule

    @property
    def split(self) -> str:
        """The data that it is measured on."""
        return self.metric.partition("/")[0]

    @property
    def selection(self) -> Selection:
        """What judges a single experiment."""
        return Selection(self.metric, self.best, self.at)

    @property
    def facts(self) -> dict[str, Any]:
        """The setting as plain data."""
        return asdict(self)

    def score_on(self, part: str, *, at: At | None = None) -> dict[str, Any]:
        """Gives what an experiment is scored by where that is data which decides nothing, as plain data.

        Args:
            part: the data.
            at: which epoch counts, by the metric that decides; None for the setting's.
        """
        name = self.metric.partition("/")[2]
        return {"metric": f"{part}/{name}", "best": self.best, "epoch_by": self.metric, "at": at or self.at}


@dataclass(frozen=True, slots=True)
class Watch:
    """A component that follows a metric, such as early stopping.

    Args:
        metric: which one.
        best: its direction.
        form: where the metric is named.
        path: its key path.
    """

    metric: str
    best: Best
    form: Form
    path: Path

    @property
    def split(self) -> str:
        """The data that it is measured on."""
        return self.metric.partition("/")[0]


def decision_of(view: ModeView, select: Select | None) -> Decision | None:
    """Gives what decides; None where neither the setting nor anything in the config names a metric."""
    watches = list(watches_of(view.tree))
    if select is None:
        return Decision(watches[0].metric, watches[0].best, "best", "best") if watches else None
    metric = select["metric"]
    usual: Best = "min" if smaller_is_better(metric) else "max"
    said = next((watch.best for watch in watches if watch.metric == metric), usual)
    return Decision(metric, select.get("best", said), select.get("at", "best"), select.get("rule", "best"))


def watches_of(tree: Tree) -> Iterator[Watch]:
    """Gives each use of a metric that steers an experiment, in all alternatives, those of the root first."""
    roots: list[tuple[Path, Form]] = [(("experiment",), tree.experiment)]
    used = used_components(tree)
    roots += [(("components", name), form) for name, form in tree.components.items() if name in used]
    for path, form in roots:
        for where, inner in tree.walk(form, path):
            if isinstance(inner, Use) and {"metric", "best"} <= inner.params.keys():
                yield from _watch(tree, inner, where)


def _watch(tree: Tree, use: Use, path: Path) -> Iterator[Watch]:
    metric, best = tree.follow(use.params["metric"]), tree.follow(use.params["best"])
    if isinstance(metric, Value) and isinstance(best, Value) and isinstance(metric.value, str):
        if best.value == "min":
            yield Watch(metric.value, "min", metric, (*path, "metric"))
        elif best.value == "max":
            yield Watch(metric.value, "max", metric, (*path, "metric"))


def faults_of_select(view: ModeView, select: Select | None, *, needed: bool, takes_rule: bool = False) -> list[Fault]:
    """Gives what is wrong with the setting.

    Args:
        view: the config.
        select: as given.
        needed: whether the mode cannot do without.
        takes_rule: whether the mode itself chooses, by the rule.
    """
    rule = "best" if select is None else select.get("rule", "best")
    if rule != "best" and not takes_rule:
        return [view.fault("select", f"`rule: {rule}` chooses the winners of a nested cross validation: leave it out")]
    if select is not None and not all(select["metric"].partition("/")[::2]):
        return [view.fault("select", f"`metric` is `split/metric`, such as `val/f1_macro`, got `{select['metric']}`")]
    if select is not None and view.scores is not None and not is_measured(select["metric"], view.scores):
        return [view.fault("select", unmeasured_text(select["metric"], view.scores))]
    if needed and decision_of(view, select) is None:
        message = (
            "nothing says which metric decides between configurations: set `select: {metric: val/f1_macro, best: max}`"
        )
        return [view.fault("select", message)]
    return []


def warnings_of_test(view: ModeView, decision: Decision | None, names: Collection[str] = (TEST,)) -> list[Fault]:
    """Gives a warning for each metric of test data that decides something.

    Args:
        view: the config.
        decision: what decides between configurations; None where nothing says it.
        names: what test data is called, `test` included or not.
    """
    remedy = "then no data is left that nothing was chosen by; use a metric of `val`"
    called = {TEST, *names}
    warnings = []
    if decision is not None and decision.split in called and "select" in view.marks:
        warnings.append(view.fault("select", f"selects on test data, by `{decision.metric}`: {remedy}"))
    for watch in watches_of(view.tree):
        if watch.split in called:
            message = f"training is steered by test data, `{watch.metric}`: {remedy}"
            warnings.append(watch.form.mark.fault(watch.path, message))
    return warnings


def warnings_of_leaks(view: ModeView, split: str) -> list[Fault]:
    """Gives a warning for each component that learns from data (`fit_on`) before it is split."""
    tree = view.tree
    if split not in tree.components:
        return []
    before = [name for name in build_order(needs_of(tree), [split]) if name != split]
    warnings = []
    for name in before:
        for path, form in tree.walk(tree.components[name], ("components", name)):
            if isinstance(form, Use) and _learns(view, form):
                message = (
                    f"`{form.name}` learns from rows that `{split}` holds out afterwards, so that they leak into "
                    f"training: put it after the split, `datasets: ${split}`"
                )
                warnings.append(form.name_mark.fault(path, message))
    return warnings


def references_to(tree: Tree, name: str) -> list[Reference]:
    """Gives each `$name` and `$name.output` in a config, in all alternatives."""
    return [
        reference
        for path, form in tree.sections()
        for _, reference in tree.references(form, path)
        if reference.target.name == name
    ]


def _learns(view: ModeView, use: Use) -> bool:
    return use.name in view.registry and "fit_on" in signature_of(view.registry.find(use.name)).params
