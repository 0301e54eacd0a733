"""Keeps secrets out of what is recorded: command lines, diffs, addresses, environment variables.

Found by the name beside a value (`password=`), by the form of a value (`ghp_...`), and by value: what a secret
environment variable of this process holds is masked wherever it occurs. Hashes, names and numbers stay.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

MASK: Final = "***"

_STRONG_NAME: Final = r"""
    [a-z0-9]{0,20}pass(?:word|wd|phrase) | pwd | secrets? | credentials?
  | (?:db|pg|ssh|smtp|mail|ftp|user|root|admin|redis|mysql)[_-]?pass
  | (?:api|access|private|secret|auth|encryption|signing|account|master|service|license)[_-]?keys?
  | (?:access|auth|refresh|bearer|api|session|id|oauth|bot|deploy|personal|csrf|sas|hub|hf|github|gitlab|wandb|login)
    [_-]?tokens?
"""
"""Parts of names whose values are secret whatever they look like."""
_WEAK_NAME: Final = r"token | key | auth | authorization | signature | sig | sas | pin"
"""Parts of names whose values are secret where they look random."""

_STRONG: Final = re.compile(rf"(?:^|[^a-z0-9])(?:{_STRONG_NAME})(?:$|[^a-z0-9])", re.VERBOSE | re.IGNORECASE)
_WEAK: Final = re.compile(rf"(?:^|[^a-z0-9])(?:{_WEAK_NAME})$", re.VERBOSE | re.IGNORECASE)
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_FORMS: Final = re.compile(
    r"""
      \bgh[opsur]_[A-Za-z0-9]{20,}            # GitHub
    | \bgithub_pat_[A-Za-z0-9_]{20,}
    | \bglpat-[A-Za-z0-9_-]{20,}              # GitLab
    | \b(?:AKIA|ASIA|AGPA|AIDA|AROA)[A-Z0-9]{16}\b   # AWS
    | \bsk-[A-Za-z0-9_-]{20,}                 # OpenAI, Anthropic
    | \bhf_[A-Za-z0-9]{20,}                   # Hugging Face
    | \bxox[abeoprs]-[A-Za-z0-9-]{10,}        # Slack
    | \bAIza[A-Za-z0-9_-]{35}                 # Google
    | \bya29\.[A-Za-z0-9_-]{20,}
    | \bnpm_[A-Za-z0-9]{36}
    | \bpypi-[A-Za-z0-9_-]{50,}
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{5,}   # JSON web token
    """,
    re.VERBOSE,
)
_PRIVATE_KEY: Final = re.compile(
    r"(-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----).*?(-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
_HEADER: Final = re.compile(r"(?i)\b((?:bearer|basic|authorization[\"']?\s?:\s?[\"']?token)\s+)[A-Za-z0-9._~+/=-]{8,}")
_ADDRESS: Final = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,20}://)([^/\s@'\"<>]{1,256})@")
_LOGIN: Final = re.compile(r"(?i)\b(login\s+\S+\s+password\s+)\S+")
_ASSIGNED: Final = re.compile(
    r"""
    (?P<name> (?<![A-Za-z0-9_.-]) ["']? [A-Za-z_][A-Za-z0-9_.-]{0,99} ["']? )
    (?P<sign> \s{0,4} : \s{0,4} [A-Za-z_][A-Za-z0-9_.|\[\] ]{0,60} = \s{0,4} | \s{0,4} (?: :=? | => | = ) \s{0,4} )
    (?: " (?P<double> [^"\n]{1,4096} ) " | ' (?P<single> [^'\n]{1,4096} ) '
      | (?P<bare> [^\s"'`,;(){}\[\]<>&]{1,512}+ ) (?! [(\[] ) )
    """,
    re.VERBOSE,
)
_SHELL_LINE: Final = re.compile(r"(?m)^([+\- ]?\s{0,20}(?:export\s{1,4})?)([A-Z][A-Z0-9_]{0,99})=(\S[^\n]{0,4096})$")
_RANDOM: Final = re.compile(r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9_+/=.~-]{16,}")
_HASH: Final = re.compile(r"(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{56}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})")
_CODE: Final = re.compile(
    r"\$?[A-Za-z_][A-Za-z_0-9]*(?:\.[A-Za-z_][A-Za-z_0-9]*)+|\$\w+|None|True|False|null|true|false"
)
_TYPE: Final = re.compile(r"str|bytes|int|float|bool|string|bytearray|[A-Z][A-Za-z]*")
_MIN_VALUE_LENGTH: Final = 8


def is_secret_name(name: str) -> bool:
    """Gives whether the value of a variable or option of that name is likely a secret.

    Args:
        name: such as `WANDB_API_KEY`, `--auth-token` or `clientSecret`; `tokenizer` and `num_tokens` are none.
    """
    return _is_strong(name) or _is_weak(name)


def secret_values(variables: Mapping[str, str]) -> list[str]:
    """Gives the values of secret environment variables, the longest first; short ones would match by accident."""
    found = {value for name, value in variables.items() if is_secret_name(name) and _can_be_found(value)}
    return sorted(found, key=len, reverse=True)


def _can_be_found(value: str) -> bool:
    """Gives whether a value occurs nowhere by accident: no short one, no path, no plain word."""
    enough = 2 * _MIN_VALUE_LENGTH if value.isalpha() else _MIN_VALUE_LENGTH
    return len(value) >= enough and not value.startswith("/")


def mask_text(text: str, known: Iterable[str] = ()) -> str:
    """Gives a text with `***` in place of each secret.

    Args:
        text: a diff, an address, a line: any text.
        known: values to be masked wherever they are; see `secret_values`.
    """
    for value in known:
        text = text.replace(value, MASK)
    text = _PRIVATE_KEY.sub(rf"\1{MASK}\2", text)
    text = _ADDRESS.sub(_masked_address, text)
    text = _HEADER.sub(rf"\1{MASK}", text)
    text = _LOGIN.sub(rf"\1{MASK}", text)
    text = _FORMS.sub(MASK, text)
    text = _SHELL_LINE.sub(_masked_shell_line, text)
    return _mask_assignments(text)


def mask_command(command: Sequence[str], known: Iterable[str] = ()) -> list[str]:
    """Gives a command line with `***` in place of each secret, the value after `--token` among them."""
    known = list(known)
    masked: list[str] = []
    for word in command:
        before = command[len(masked) - 1] if masked else ""
        follows_secret = before.startswith("-") and "=" not in before and is_secret_name(before)
        masked.append(MASK if follows_secret and not word.startswith("-") else _masked_word(word, known))
    return masked


def mask_variables(variables: Mapping[str, str], known: Iterable[str] = ()) -> dict[str, str]:
    """Gives environment variables without those that are secret, and with secrets in the others masked."""
    known = list(known)
    return {name: mask_text(value, known) for name, value in variables.items() if not is_secret_name(name)}


def _masked_word(word: str, known: Sequence[str]) -> str:
    name, sign, value = word.partition("=")
    # A word is one value, spaces and quotes included.
    if sign and value and _is_strong(name):
        return f"{name}={MASK}"
    return mask_text(word, known)


def _masked_address(match: re.Match[str]) -> str:
    scheme, who = match.groups()
    # `ssh://git@host` and the like say no more than which program answers.
    return match.group() if ":" not in who and scheme.lower() in ("ssh://", "git+ssh://") else f"{scheme}{MASK}@"


def _masked_shell_line(match: re.Match[str]) -> str:
    start, name, value = match.groups()
    is_secret = _is_strong(name) or (_is_weak(name) and len(value) >= 2 * _MIN_VALUE_LENGTH and value[0] not in "[<")
    return f"{start}{name}={MASK}" if is_secret else match.group()


def _mask_assignments(text: str) -> str:
    parts: list[str] = []
    place = 0
    while match := _ASSIGNED.search(text, place):
        kind = match.lastgroup or "bare"
        start, end = match.span(kind)
        name, after_colon = match["name"].strip("\"'"), match["sign"].strip() == ":"
        if _is_secret_value(name, match[kind], is_quoted=kind != "bare", after_colon=after_colon):
            parts += text[place:start], MASK
            place = end
        else:
            # What was taken for a value may be a name itself: `run: token=...`.
            parts.append(text[place : match.end("sign")])
            place = match.end("sign")
    return "".join(parts) + text[place:]


def _is_secret_value(name: str, value: str, *, is_quoted: bool, after_colon: bool) -> bool:
    # Unquoted, it may be code: `password = settings.password`, `api_key: str`.
    if not is_quoted and (_CODE.fullmatch(value) or (after_colon and _TYPE.fullmatch(value))):
        return False
    if _is_strong(name):
        return True
    may_be_hash = not name.lower().endswith(("token", "auth", "authorization"))
    return _is_weak(name) and _RANDOM.fullmatch(value) is not None and not (may_be_hash and _HASH.fullmatch(value))


def _is_strong(name: str) -> bool:
    return _STRONG.search(_words(name)) is not None


def _is_weak(name: str) -> bool:
    return _WEAK.search(_words(name)) is not None


def _words(name: str) -> str:
    """Gives a name with its parts apart by `-`, so that `clientSecret` and `CLIENT_SECRET` are the same."""
    return _CAMEL.sub("-", name).replace("_", "-").replace(".", "-")


def own_secrets() -> list[str]:
    """Gives the secret values of this process's environment variables."""
    return secret_values(os.environ)


def places_of_secrets(text: str, known: Iterable[str] = ()) -> list[int]:
    """Gives the numbers, from 1, of the lines that hold something that `mask_text` would mask."""
    before, after = text.split("\n"), mask_text(text, known).split("\n")
    if len(before) == len(after):
        return [number for number, (old, new) in enumerate(zip(before, after, strict=True), 1) if old != new]
    # A private key became one line: from its first line on, numbers are others.
    return [next(number for number, (old, new) in enumerate(zip(before, after, strict=False), 1) if old != new)]
