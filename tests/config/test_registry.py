"""The table of components: registering, finding, and entry points of installed packages."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from mlgym.config import check, load
from mlgym.config.registry import ENTRY_POINT_GROUP, REGISTRY, Registry
from mlgym.errors import ConfigError, RegistryError

Installer: TypeAlias = Callable[[str, str], None]
_MODULE = '''
from mlgym.config import register


@register("plug_run")
class PlugRun:
    """Runs."""

    def __init__(self, size: int) -> None:
        self.size = size

    def run(self, context: object) -> None: ...


@register("plug_function", call_args=("x",))
def plug_function(x: int, *, power: float = 2.0) -> float:
    return x**power


class Unregistered:
    """Is registered by its entry point alone."""

    def __init__(self, width: int) -> None:
        self.width = width
'''


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installer:
    """Installs a package with entry points, as pip does: a module and its `dist-info` on the path."""

    def install(package: str, entry_points: str) -> None:
        folder = tmp_path / package
        info = folder / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (folder / f"{package}.py").write_text(_MODULE)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{entry_points}\n")
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, package, raising=False)

    REGISTRY.names()  # MLgym's own are registered once in a process: not into the copy
    monkeypatch.setattr(REGISTRY, "_components", dict(REGISTRY._components))
    monkeypatch.setattr(REGISTRY, "_entry_points", None)
    return install


def _checked(**experiment: object) -> int:
    return len(check(load({"version": 1, "experiment": experiment})))


def test_an_installed_package_brings_components(install: Installer) -> None:
    """A config uses them without importing anything; their parameters are checked as those of any other."""
    install("plug_one", "plug_run = plug_one\nplug_function = plug_one:plug_function\nbare = plug_one:Unregistered")
    assert {"plug_run", "plug_function", "bare"} <= set(REGISTRY.names())
    assert "plug_one" not in sys.modules, "an entry point is loaded only when its name is used"
    assert _checked(use="plug_run", size=1) == 1
    assert REGISTRY.find("plug_function").call_args == ("x",), "what the decorator says is kept"
    assert REGISTRY.find("bare").target.__name__ == "Unregistered"
    with pytest.raises(ConfigError, match="`plug_run` has no parameter `sise`; did you mean `size`"):
        _checked(use="plug_run", sise=1)
    with pytest.raises(ConfigError, match="no component is registered as `plug_rum`; did you mean `plug_run`"):
        _checked(use="plug_rum", size=1)


def test_a_broken_package_costs_only_its_own_names(install: Installer) -> None:
    """It is an error where it is used, and where all components are listed the others are there."""
    install("plug_two", "missing_one = no_such_module:Thing\nbare = plug_two:Unregistered")
    with pytest.raises(ConfigError, match="`missing_one` of the entry point `no_such_module:Thing` cannot be imported"):
        _checked(use="missing_one")
    assert list(REGISTRY.broken()) == ["missing_one"]
    listed = {component.name for component in REGISTRY}
    assert "bare" in listed
    assert "missing_one" not in listed


def test_a_name_taken_twice_is_an_error_with_both_places(install: Installer) -> None:
    """Two packages, or a package and MLgym itself: neither wins silently."""
    install("plug_three", "twin = plug_three:Unregistered\nmlp = plug_three:Unregistered")
    install("plug_four", "twin = plug_four:Unregistered")
    with pytest.raises(
        ConfigError, match=r"two entry points are called `twin`: `plug_\w+:Unregistered` of the package"
    ):
        _checked(use="twin", width=1)
    with pytest.raises(
        ConfigError, match=r"two components are registered as `mlp`: .*mlp\.py:\d+ and .*plug_three\.py"
    ):
        _checked(use="mlp", hidden=3)
    assert sorted(REGISTRY.broken()) == ["mlp", "twin"]
    assert "mlp" in {component.name for component in REGISTRY}, "MLgym's own is still listed"


def test_names_are_taken_once() -> None:
    """Another definition is refused with both places, the same one (a module imported again) is not."""
    registry = Registry()

    class Thing: ...

    registry.register("thing")(Thing)
    registry.register("thing")(Thing)
    with pytest.raises(RegistryError, match=r"two components are registered as `thing`: .*test_registry\.py:\d+ and "):
        registry.register("thing")(test_names_are_taken_once)
    with pytest.raises(RegistryError, match="'a-b' must be letters, digits and `_`"):
        registry.register("a-b")
    with pytest.raises(RegistryError, match=r"Thing'> must be .*, as in `@register"):
        registry.register(Thing)  # type: ignore[arg-type]  # the name was left out
    with pytest.raises(RegistryError, match="no component is registered as `thign`; did you mean `thing`"):
        registry.find("thign")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"call_args": ("prediction", "tgt")}, r"no parameter `tgt`, which `call_args` names; did you mean `target`\?"),
        ({"outputs": "parts"}, r"no parameter `parts`, which `outputs` names \(it has prediction, target, w\)"),
        ({"call_args": "predicton"}, "no parameter `predicton`, which `call_args` names; did you mean `prediction`"),
    ],
)
def test_options_name_parameters(options: dict[str, Any], told: str) -> None:
    """What is misspelt would show at the first call, or never; who takes anything is not asked."""

    def distance(prediction: float, target: float, w: float = 1.0) -> float:
        return w * (prediction - target)

    registry = Registry()
    with pytest.raises(RegistryError, match=told):
        registry.register("distance", **options)(distance)
    assert "distance" not in registry
    registry.register("distance", call_args=("prediction", "target"), outputs="w")(distance)
    registry.register("any", call_args=("tgt",), outputs="parts")(lambda *args, **kwargs: args)
