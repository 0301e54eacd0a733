"""What a client says of itself to a hub."""

from __future__ import annotations

import pytest

from mlgym.errors import HubError
from mlgym.tracking.hub_client import authorization


@pytest.mark.parametrize("token", ["secret-word", " secret-word\r\n"])
def test_a_token_is_sent_without_the_space_around_it(token: str) -> None:
    """As files that tokens are read from end in a line break."""
    assert authorization({"MLGYM_TOKEN": token}) == {"Authorization": "Bearer secret-word"}


@pytest.mark.parametrize("environment", [{}, {"MLGYM_TOKEN": ""}, {"MLGYM_TOKEN": "\n"}])
def test_no_token_is_no_header(environment: dict[str, str]) -> None:
    """Hubs on this machine ask for none."""
    assert authorization(environment) == {}


@pytest.mark.parametrize("token", ["secret\nX-Header: y", "secret word", "sécret", "secret\x00"])
def test_what_is_no_token_is_refused_and_never_shown(token: str) -> None:
    """No second header, no error of an encoding, and no secret in a message."""
    with pytest.raises(HubError, match="MLGYM_TOKEN is no token") as refused:
        authorization({"MLGYM_TOKEN": token})
    assert "cret" not in str(refused.value)
