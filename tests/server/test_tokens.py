"""Tokens: what each of them allows, which are refused, and that nothing tells a right beginning from a wrong one."""

from __future__ import annotations

import hmac
from collections.abc import Callable

import pytest

from mlgym.errors import InvalidNameError
from mlgym.server.tokens import FULL_ACCESS, Access, TokenError, Tokens, admit, socket_access

SECRET = "a-secret-of-twenty-or-more"


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens(SECRET)


def test_what_tokens_allow(tokens: Tokens) -> None:
    """The write token allows everything, the read token to look, that of a run to see and write this run."""
    asked = [(None, False), (None, True), ("a", False), ("a", True), ("b", False), ("b", True)]
    for token, allowed in [
        (tokens.write, [True] * 6),
        (tokens.read, [True, False, True, False, True, False]),
        (tokens.of_run("a"), [False, False, True, True, False, False]),
    ]:
        access = tokens.access(token)
        assert access is not None
        assert [access.allows(run_id, write=write) for run_id, write in asked] == allowed


def test_services_agree(tokens: Tokens) -> None:
    """Two services with one secret have the same tokens; with another one, none is the same."""
    again, other = Tokens(SECRET), Tokens(SECRET + "!")
    assert (again.read, again.of_run("a")) == (tokens.read, tokens.of_run("a"))
    assert {other.write, other.read, other.of_run("a")}.isdisjoint({tokens.write, tokens.read, tokens.of_run("a")})
    assert len({tokens.read, tokens.of_run("a"), tokens.of_run("read"), tokens.of_run("b")}) == 4


def test_wrong_tokens(tokens: Tokens) -> None:
    """Nothing that is near a token is one; no text makes it fail."""
    of_a = tokens.of_run("a")
    for wrong in [
        "",
        " ",
        SECRET[:-1],
        SECRET + "x",
        SECRET.upper(),
        tokens.read[:-1],
        of_a.replace(".a", ".b"),
        of_a.replace(".a", ".a.a"),
        of_a.replace(".a", "."),
        of_a.replace(".a", ""),
        of_a.replace(".a", ".\ud800"),
        "mlgym-run-.",
        "é" * 30,
        "\ud800" * 30,
        "\0",
        "x" * 1_000_000,
    ]:
        assert tokens.access(wrong) is None, wrong[:40]
    with pytest.raises(InvalidNameError):
        tokens.of_run("../a")


def test_comparison(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every token, right or wrong, is compared with all of them, by the comparison whose time tells nothing."""
    compare: Callable[[bytes, bytes], bool] = hmac.compare_digest
    counts = []
    for token in (tokens.write, tokens.read, tokens.of_run("a"), "wrong", SECRET[:-1]):
        calls: list[bytes] = []

        def counted(one: bytes, other: bytes, calls: list[bytes] = calls) -> bool:
            calls.append(other)
            return compare(one, other)

        monkeypatch.setattr("mlgym.server.tokens.hmac.compare_digest", counted)
        tokens.access(token)
        counts.append(len(calls))
    assert counts == [3] * 5


@pytest.mark.parametrize(
    "word", ["short", "with a space in the middle", "x" * 513, "né" * 20, "line\nbreak-of-twenty-or"]
)
def test_unsafe_secrets(word: str) -> None:
    """A secret that can be guessed or cannot stand in a header is refused, and not repeated."""
    with pytest.raises(TokenError) as caught:
        Tokens.of_environment({"MLGYM_TOKEN": word})
    assert word not in str(caught.value)


def test_no_secret_that_others_have(tokens: Tokens) -> None:
    """A token that allows less is no secret to start from: its holders could write, and what is made of it is void."""
    for word in (tokens.read, tokens.of_run("a")):
        with pytest.raises(TokenError, match="set MLGYM_TOKEN to the write token"):
            Tokens.of_environment({"MLGYM_TOKEN": word})


def test_made_on_start() -> None:
    """Without a secret, each start makes another one and knows that it is new."""
    one, other = Tokens.of_environment({}), Tokens.of_environment({"MLGYM_TOKEN": ""})
    assert one.is_new
    assert len(one.write) > 40
    assert one.write != other.write
    assert not Tokens.of_environment({"MLGYM_TOKEN": SECRET}).is_new


def test_headers_and_sockets(tokens: Tokens) -> None:
    """A token comes as a bearer or with the connection of a socket; without a guard before it a socket may nothing."""
    for authorization, expected in [
        (f"Bearer {SECRET}", FULL_ACCESS),
        (f"bearer  {SECRET} ", FULL_ACCESS),
        (f"Bearer {tokens.read}", Access(may_write=False)),
        (f"Basic {SECRET}", None),
        (SECRET, None),
        ("Bearer", None),
        (None, None),
    ]:
        scope: dict[str, object] = {}
        assert admit(scope, tokens, authorization) == expected
        assert socket_access(scope, None) == expected
        assert socket_access(scope, {"token": SECRET}) == (expected or FULL_ACCESS)
        for auth in ({"token": "wrong"}, {"token": None}, {"token": [SECRET]}, [SECRET], SECRET):
            assert socket_access(scope, auth) == expected
    assert socket_access({}, {"token": SECRET}) is None
    free: dict[str, object] = {}
    assert admit(free, None, None) == socket_access(free, {"token": "any"}) == FULL_ACCESS
