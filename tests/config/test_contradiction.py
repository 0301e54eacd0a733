"""Parameters that do not go together: refused where they are written, in every alternative in which they meet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest

from mlgym.config import load
from mlgym.config.check import check
from mlgym.config.contradiction import AsManyAs, Needs, NotWith, contradictions_of_launch
from mlgym.config.registry import Registry
from mlgym.errors import ConfigError

registry = Registry()


class Engine:
    """Drives."""


@registry.register("petrol")
class Petrol(Engine):
    """Burns."""


@registry.register("diesel")
class Diesel(Engine):
    """Smokes."""


@registry.register("electric")
class Electric(Engine):
    """Does not."""


@registry.register("pair")
class Pair:
    """Two engines in one part."""

    def __init__(self, first: Engine, second: Engine) -> None:
        self.engines = first, second


@registry.register("car")
class Car:
    """Has an engine, or a part with some in it."""

    def __init__(
        self,
        engine: Annotated[Engine | None, Needs(Diesel, "filter", "`diesel` needs a `filter`")] = None,
        *,
        filter: str | None = None,  # noqa: A002 - a part of a car
        part: Pair | None = None,
        plug: Annotated[str | None, NotWith(Petrol, ("engine", "part"), "`petrol` has no plug")] = None,
        volts: Annotated[int, NotWith(Petrol, ("engine",), "`petrol` stands 12 V", lambda value: value > 12)] = 12,
    ) -> None:
        self.engine = engine

    def run(self, context: object) -> None:
        """Drives."""


@registry.register("train")
class Train:
    """As many tickets as wagons."""

    def __init__(self, wagons: list[Engine], tickets: Annotated[list[int] | None, AsManyAs("wagons")] = None) -> None:
        self.wagons = wagons

    def run(self, context: object) -> None:
        """Drives."""


def faults(car: str, **sections: str) -> list[str]:
    """What is wrong with a car, as lines without the file."""
    text = "\n".join(["version: 1", *(f"{name}: {value}" for name, value in sections.items()), f"experiment: {car}"])
    Path("car.yml").write_text(text)
    try:
        check(load("car.yml"), registry=registry)
    except ConfigError as error:
        return [str(fault).removeprefix("car.yml:") for fault in error.faults]
    return []


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "car",
    [
        "{use: car, engine: {use: petrol}, plug: big}",
        "{use: car, part: {use: pair, first: {use: electric}, second: {use: petrol}}, plug: big}",
        "{use: car, engine: {sweep: [{use: electric}, {use: petrol}]}, plug: {sweep: [null, big]}}",
        "{use: car, engine: {use: {sweep: [electric, petrol]}}, plug: big}",
        "{sweep: [{use: car}, {use: car, engine: {use: petrol}, plug: big}]}",
    ],
)
def test_what_meets_is_refused(car: str) -> None:
    """Inside a part, in one alternative of many: once, at the parameter."""
    (fault,) = faults(car)
    assert fault.endswith("`petrol` has no plug")
    assert ".plug" in fault


def test_the_place_is_that_of_the_parameter() -> None:
    """Line, column and key; behind references, too."""
    car = "{use: car, engine: $motor, plug: big}"
    assert faults(car, components="{motor: {use: petrol}}") == ["3:40: experiment.plug: `petrol` has no plug"]


@pytest.mark.parametrize(
    "car",
    [
        "{use: car, engine: {use: electric}, plug: big}",
        "{use: car, engine: {use: petrol}}",
        "{use: car, engine: {use: petrol}, plug: null, volts: 12}",
        "{sweep: [{use: car, engine: {use: petrol}}, {use: car, engine: {use: electric}, plug: big}]}",
        # Moved together, they never meet.
        "{use: car, engine: {sweep: [{use: electric}, {use: petrol}], zip: a}, plug: {sweep: [big, null], zip: a}}",
        # A circle is a fault of its own, and found elsewhere.
        "{use: car, plug: big}",
    ],
)
def test_what_does_not_meet_is_fine(car: str) -> None:
    """Another engine, no plug, or never both in one experiment."""
    assert faults(car) == []


def test_values_can_be_what_matters() -> None:
    """One of several values; the place is that of the value."""
    (fault,) = faults("{use: car, engine: {use: petrol}, volts: {sweep: [12, 24]}}")
    assert fault.endswith("`petrol` stands 12 V")
    assert "volts.sweep[1]" in fault


@pytest.mark.parametrize(
    ("car", "is_told"),
    [
        ("{use: car, engine: {use: diesel}}", True),
        ("{use: car, engine: $other}", True),
        ("{use: car, engine: {sweep: [{use: petrol}, {use: diesel}]}, filter: {sweep: [fine, null]}}", True),
        ("{use: car, engine: {use: diesel}, filter: fine}", False),
        ("{use: car, engine: {use: petrol}, filter: null}", False),
        # Moved together, it is always there.
        ("{use: car, engine: {sweep: [$motor, $other], zip: z}, filter: {sweep: [null, fine], zip: z}}", False),
    ],
)
def test_what_is_needed_beside_it(car: str, is_told: bool) -> None:
    """An object of the class, in some alternative, without what it needs there."""
    components = "{motor: {use: petrol}, other: {use: diesel}}"
    told = faults(car, components=components)
    assert [fault.endswith("experiment.engine: `diesel` needs a `filter`") for fault in told] == [True] * is_told


def test_circles_end() -> None:
    """References that lead back are followed once."""
    components = "{a: {use: pair, first: {use: electric}, second: $a}}"
    assert all("plug" not in fault for fault in faults("{use: car, part: $a, plug: big}", components=components))


@pytest.mark.parametrize(
    ("car", "told"),
    [
        ("{use: car, engine: $motor}", ["2:33: components.motor.first: `petrol` has no plug"]),
        ("{use: car, part: {sweep: [null, $motor]}}", ["2:33: components.motor.first: `petrol` has no plug"]),
        # What is refused when the config is checked need not be told again; where there is no engine, nothing is.
        ("{use: car, part: {use: pair, first: {use: electric}, second: {use: electric}}}", []),
        ("{use: car}", []),
    ],
)
def test_what_a_launch_gives_meets_what_the_config_has(car: str, told: list[str]) -> None:
    """The place is that of the object; what the experiment does not use is not looked at."""
    components = "{motor: {use: pair, first: {use: petrol}, second: {use: electric}}}"
    Path("car.yml").write_text(f"version: 1\ncomponents: {components}\nexperiment: {car}")
    found = contradictions_of_launch(load("car.yml"), "plug", registry=registry)
    assert [str(fault).removeprefix("car.yml:") for fault in found] == told
    assert contradictions_of_launch(load("car.yml"), "windows", registry=registry) == []


@pytest.mark.parametrize(
    ("train", "told"),
    [
        ("{use: train, wagons: [$e, $e], tickets: [1, 2]}", []),
        ("{use: train, wagons: [$e, $e], tickets: null}", []),
        (
            "{use: train, wagons: [$e, $e], tickets: [1]}",
            ["3:44: experiment.tickets: needs one for each of the 2 in `wagons`, but has 1"],
        ),
        (
            "{use: train, wagons: $two, tickets: {sweep: [[1, 2], [1, 2, 3]]}}",
            ["3:66: experiment.tickets.sweep[1]: needs one for each of the 2 in `wagons`, but has 3"],
        ),
        # Moved together, they always fit.
        (
            "{use: train, wagons: {sweep: [[$e], [$e, $e]], zip: z}, tickets: {sweep: [[1], [1, 2]], zip: z}}",
            [],
        ),
    ],
)
def test_lists_of_two_lengths(train: str, told: list[str]) -> None:
    """What needs one item for each of another list is refused where it has more or fewer."""
    assert faults(train, components="{e: {use: electric}, two: [$e, $e]}") == told
