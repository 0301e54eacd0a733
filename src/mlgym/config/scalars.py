"""Plain YAML words to values and back, by the core schema of YAML 1.2.

`1e-4` is a number and `no` is text, unlike in YAML 1.1.

Source: YAML 1.2.2, 10.3.2 "Tag resolution" of the core schema.
"""

from __future__ import annotations

import json
import re
from typing import Final

from mlgym.config.nodes import PlainScalar, checked_float, checked_int

_WORDS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DECIMAL: Final = re.compile(r"[-+]?[0-9]+")
_OCTAL: Final = re.compile(r"0o[0-7]+")
_HEXADECIMAL: Final = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NON_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAX_DIGITS: Final = 400
# What may stand without quotes in any reader's eyes, also inside `[...]` and `{...}`.
_SAFE_TEXT: Final = re.compile(r"[A-Za-z_./$][A-Za-z0-9_./$-]*( [A-Za-z0-9_./$(][A-Za-z0-9_./$()-]*)*")
_YAML_1_1_WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off"})
_ESCAPES: Final = re.compile("[\x7f-\x9f\ufeff\ufffe\uffff\u2028\u2029\U000e0000-\U000e0fff]")


def resolve_word(text: str) -> PlainScalar:
    """Gives the value of a plain (unquoted) YAML scalar.

    Raises:
        ValueError: a number that JSON cannot hold (`.inf`, `.nan`, `1e999`) or that needs more than 64 bits.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _NON_FINITE.fullmatch(text):
        return checked_float(float(text.lower().replace(".", "")))
    if _DECIMAL.fullmatch(text) or _OCTAL.fullmatch(text) or _HEXADECIMAL.fullmatch(text):
        return _integer(text)
    return checked_float(float(text)) if _FLOAT.fullmatch(text) else text


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:  # Python refuses or takes long for more than 4300 digits
        raise ValueError("integers must fit into 64 bits; write it as text")
    return checked_int(int(text, 10 if _DECIMAL.fullmatch(text) else 0))


def word(value: PlainScalar) -> str:
    """Gives the YAML text of a scalar, quoted where another reader (or this one) would take it for something else."""
    if not isinstance(value, str):
        return json.dumps(value, allow_nan=False)
    return value if is_plain(value) else quoted(value)


def is_plain(text: str) -> bool:
    """Says whether `text` may be written without quotes."""
    if not _SAFE_TEXT.fullmatch(text) or text.lower() in _YAML_1_1_WORDS:
        return False
    try:
        return resolve_word(text) is text
    except ValueError:
        return False


def quoted(text: str) -> str:
    """Gives `text` in double quotes, as JSON does it, with what YAML does not allow escaped."""
    return _ESCAPES.sub(lambda match: _escape(match[0]), json.dumps(text, ensure_ascii=False))


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
