"""Ids and the nearest-name search."""

from datetime import datetime

import pytest

from mlgym.errors import InvalidNameError
from mlgym.names import did_you_mean, nearest, run_id_at, safe_name


@pytest.mark.parametrize("name", ["a", "2026-11-23--16-14-30", "run_1.b", "A" * 128])
def test_good_names_pass(name: str) -> None:
    """Letters, digits, dot, underscore and dash may become part of a path."""
    assert safe_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "/abs", "a/b", "a\\b", "a\0", "a\n", "-a", "_a", "A" * 129, "ä", "a b", "%2e%2e"),
        *("x.torn", "event_storage.log", "x.lock", "a\u202eb", "\uff0e\uff0e"),
    ],
)
def test_bad_names_are_refused(name: str) -> None:
    """No other text becomes part of a path, nor does a reserved name."""
    with pytest.raises(InvalidNameError):
        safe_name(name, "run id")


def test_run_id_says_when_the_run_started() -> None:
    """The id sorts by time."""
    assert run_id_at(datetime(2026, 11, 23, 16, 14, 30)) == "2026-11-23--16-14-30"


def test_nearest_finds_a_slip_and_nothing_far_off() -> None:
    """A slip of the pen is found, an unrelated word is not."""
    assert nearest("adan", ["adam", "sgd"]) == "adam"
    assert nearest("transformer", ["adam", "sgd"]) is None


def test_unknown_names_list_the_known_ones() -> None:
    """The tail of a message names the nearest and, where they are few, all."""
    assert did_you_mean("optimiser", ["optimizer", "model"]) == (
        "; did you mean `optimizer`? (known: optimizer, model)"
    )
    assert did_you_mean("zzz", [f"name_{i}" for i in range(30)]).endswith("name_11, ...)")
