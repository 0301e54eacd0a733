"""Requests made up from the service's own description, right and wrong ones: answered as the description says.

Bounded here; at length by hand, either so or from outside:

    MLGYM_EXAMPLES=500 pytest tests/server/test_schemathesis.py
    mlgym board --storage /tmp/storage --port 8080
    schemathesis run http://127.0.0.1:8080/api/v1/openapi.json --checks not_a_server_error,response_schema_conformance
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import FlakyStrategyDefinition, Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from tests.server.attacks import everything
from tests.server.service import Service
from tests.server.whole_hub import whole_hub

NUM_EXAMPLES = int(os.environ.get("MLGYM_EXAMPLES", "4"))

# What takes nothing can be asked nothing wrong; and making up wrong bodies now and then trips the library itself, which
# says nothing of the service: that runs in a process of its own, and its faults are failures of checks.
NOTHING_TO_ASK = (Unsatisfiable, FlakyStrategyDefinition, IndexError)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with whole_hub(tmp_path_factory.mktemp("hub") / "storage") as (running, _):
        yield running


@schemathesis.serializer("application/x-ndjson")
def lines(context: schemathesis.SerializationContext, value: object) -> bytes:
    """Gives what is sent as a body of events: text as it is, anything else as a line of JSON."""
    return value.encode(errors="replace") if isinstance(value, str) else json.dumps(value).encode()


def asker(operation: Any, mode: GenerationMode, session: requests.Session) -> Callable[[], None]:
    """Gives what sends made-up requests of one operation."""
    # A run that is there gets further than names that are made up; deleting is left to these.
    run = None if operation.method.upper() == "DELETE" else "run"

    @settings(
        max_examples=NUM_EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        if run is not None and "run" in case.path_parameters:
            case.path_parameters["run"] = run
        case.call_and_validate(
            session=session, checks=[not_a_server_error, response_schema_conformance, content_type_conformance]
        )

    send: Callable[[], None] = ask
    return send


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: str(mode.value))
def test_made_up_requests(service: Service, mode: GenerationMode) -> None:
    """No request makes the service fail; answers have the shape and type that are described; other runs stay."""
    before = everything(service.storage / "other")
    schema = schemathesis.openapi.from_url(f"{service.url}/api/v1/openapi.json")
    num_operations = 0
    with requests.Session() as session:
        session.trust_env = False
        for found in schema.get_all_operations():
            operation: Any = found
            with suppress(*NOTHING_TO_ASK):
                asker(operation.ok(), mode, session)()
                num_operations += 1
    assert num_operations >= 15
    assert everything(service.storage / "other") == before
