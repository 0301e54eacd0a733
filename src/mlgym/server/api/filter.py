"""The language of filters, such as `status:failed or lr<0.01 and val/f1_macro>0.9`; see docs/reference/filter.md.

A filter is read into a tree once and then asked of whole columns. Regular expressions are those of Rust, which take
time in proportion to the text: no pattern can keep a service busy.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from mlgym.server.refusal import RefusedError

_PATH: Final = "filter"
_MAX_DEPTH: Final = 50
_TOKEN: Final = re.compile(
    r"""\s*(?:
    (?P<open>\() | (?P<close>\)) |
    (?P<operator><=|>=|==|!=|!~|<|>|=|~|:) |
    (?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*') |
    `(?P<ticked>[^`]+)` |
    (?P<call>(?:latest|best)\([^()]+\)) |
    (?P<word>[^\s()"'`<>=~:!]+)
    )""",
    re.VERBOSE,
)
_VALUE: Final = re.compile(r"""\s*(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|\s*(?P<bare>[^\s()]+)""")
_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Columns(Protocol):
    """What a filter asks for."""

    def __len__(self) -> int:
        """Gives how many rows there are."""

    def values(self, key: str) -> Sequence[Any]:
        """Gives the column of a key, None where a row has no value.

        Raises:
            KeyError: there is no such column; its argument says which there are.
        """

    def texts(self) -> Sequence[str]:
        """Gives for each row the text in which words are looked for, in small letters."""


class Condition(Protocol):
    """A part of a filter."""

    def matches(self, columns: Columns) -> list[bool]:
        """Tells for each row whether it holds."""


def parse_filter(text: str) -> Condition:
    """Gives the condition that a text stands for; an empty one holds always.

    Raises:
        RefusedError: the text is no filter.
    """
    return _Parser(text).whole()


def refused(message: str) -> RefusedError:
    """Gives the refusal of a filter."""
    return RefusedError(422, "invalid_filter", message, path=_PATH)


@dataclass(frozen=True, slots=True)
class _Always:
    def matches(self, columns: Columns) -> list[bool]:
        return [True] * len(columns)


@dataclass(frozen=True, slots=True)
class _All:
    parts: tuple[Condition, ...]

    def matches(self, columns: Columns) -> list[bool]:
        return [all(row) for row in zip(*(part.matches(columns) for part in self.parts), strict=True)]


@dataclass(frozen=True, slots=True)
class _Any:
    parts: tuple[Condition, ...]

    def matches(self, columns: Columns) -> list[bool]:
        return [any(row) for row in zip(*(part.matches(columns) for part in self.parts), strict=True)]


@dataclass(frozen=True, slots=True)
class _Not:
    part: Condition

    def matches(self, columns: Columns) -> list[bool]:
        return [not one for one in self.part.matches(columns)]


@dataclass(frozen=True, slots=True)
class _Word:
    text: str

    def matches(self, columns: Columns) -> list[bool]:
        wanted = self.text.casefold()
        return [wanted in text for text in columns.texts()]


@dataclass(frozen=True, slots=True)
class _Compare:
    key: str
    sign: str
    operands: tuple[str, ...]

    def matches(self, columns: Columns) -> list[bool]:
        try:
            values = columns.values(self.key)
        except KeyError as error:
            raise refused(str(error.args[0])) from None
        if self.sign in ("~", "!~"):
            return _matching(values, self.operands[0], is_wanted=self.sign == "~")
        if self.sign in _COMPARISONS:
            compare, limit = _COMPARISONS[self.sign], _number(self.operands[0])
            assert limit is not None
            return [is_number(value) and compare(value, limit) for value in values]
        if self.sign == ":" and self.operands == ("*",):
            return [value is not None for value in values]
        is_wanted = self.sign != "!="
        return [value is not None and any(_equal(value, one) for one in self.operands) is is_wanted for value in values]


class _Parser:
    """Reads a filter: `or` binds least, then `and` (which may be left out), then `not`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._depth = 0

    def whole(self) -> Condition:
        if not self._text.strip():
            return _Always()
        found = self._any()
        if self._text[self._position :].strip():
            raise self._fault("an opening parenthesis is missing for the one")
        return found

    def _any(self) -> Condition:
        parts = [self._all()]
        while self._takes("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else _Any(tuple(parts))

    def _all(self) -> Condition:
        parts = [self._not()]
        while self._takes("and") or self._goes_on():
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else _All(tuple(parts))

    def _not(self) -> Condition:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise refused(f"the filter is nested more than {_MAX_DEPTH} levels deep")
        found: Condition = _Not(self._not()) if self._takes("not") else self._one()
        self._depth -= 1
        return found

    def _one(self) -> Condition:
        token = self._next()
        if token is None:
            raise self._fault("expected a comparison such as `lr<0.01`, or a word")
        if token.lastgroup == "open":
            self._position = token.end()
            inside = self._any()
            closing = self._next()
            if closing is None or closing.lastgroup != "close":
                raise self._fault("expected `)`")
            self._position = closing.end()
            return inside
        if token.lastgroup in ("close", "operator"):
            raise self._fault("expected a key or a word")
        self._position = token.end()
        key = _unquoted(token[token.lastgroup]) if token.lastgroup else ""
        sign = self._next()
        if sign is None or sign.lastgroup != "operator":
            return _Word(key)
        self._position = sign.end()
        return self._comparison(key, sign["operator"])

    def _comparison(self, key: str, sign: str) -> Condition:
        match = _VALUE.match(self._text, self._position)
        if match is None:
            raise self._fault(f"expected a value after `{sign}`")
        quoted, bare = match["quoted"], match["bare"]
        if sign in _COMPARISONS and (quoted is not None or _number(bare) is None):
            raise self._fault(f"`{sign}` compares with a number")
        if sign in ("~", "!~"):
            _check_pattern(_unquoted(quoted) if quoted else bare)
        self._position = match.end()
        sign = "=" if sign == "==" else sign
        if quoted is not None:
            return _Compare(key, sign, (_unquoted(quoted),))
        return _Compare(key, sign, tuple(bare.split(",")) if sign == ":" else (bare,))

    def _next(self) -> re.Match[str] | None:
        match = _TOKEN.match(self._text, self._position)
        if match is None and self._text[self._position :].strip():
            raise self._fault("this is not understood")
        return match

    def _takes(self, word: str) -> bool:
        token = self._next()
        if token is None or token.lastgroup != "word" or token["word"].casefold() != word:
            return False
        after = _TOKEN.match(self._text, token.end())
        if after is not None and after.lastgroup == "operator":
            return False  # a key that is called so
        self._position = token.end()
        return True

    def _goes_on(self) -> bool:
        token = self._next()
        if token is None or token.lastgroup == "close":
            return False
        return not (token.lastgroup == "word" and token["word"].casefold() == "or")

    def _fault(self, problem: str) -> RefusedError:
        rest = self._text[self._position :].strip()
        where = f"at `{rest[:30]}`" if rest else "at its end"
        return refused(f"the filter is not understood {where}: {problem}")


def is_number(value: Any) -> bool:
    """Tells whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def text_of(value: Any) -> str:
    """Gives a value as a filter sees it: as it stands in JSON, but text without quotes."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return msgspec.json.encode(value).decode()


def _equal(value: Any, operand: str) -> bool:
    number = _number(operand)
    if number is not None and is_number(value):
        return bool(value == number) or (math.isnan(number) and math.isnan(value))
    return text_of(value).casefold() == operand.casefold()


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _unquoted(text: str) -> str:
    # Other backslashes belong to regular expressions.
    return re.sub(r"\\([\"'\\])", r"\1", text[1:-1]) if text[:1] in ('"', "'") else text


def _check_pattern(pattern: str) -> None:
    found_by(pattern, [])


def _matching(values: Sequence[Any], pattern: str, *, is_wanted: bool) -> list[bool]:
    found = found_by(pattern, ["" if value is None else text_of(value) for value in values])
    return [value is not None and one is is_wanted for value, one in zip(values, found, strict=True)]


def found_by(pattern: str, texts: Sequence[str], path: str = _PATH) -> list[bool]:
    """Tells for each text whether a regular expression finds something in it.

    Args:
        pattern: the expression.
        texts: where it looks.
        path: the parameter that it came in.

    Raises:
        RefusedError: it is none.
    """
    import polars

    try:
        found = polars.Series(texts or [""], dtype=polars.String).str.contains(pattern, strict=True)
    except polars.exceptions.PolarsError as error:
        reason = re.search(r"error: (?!regex parse)(.+)", str(error))
        because = f": {reason[1]}" if reason else ""
        message = f"`{pattern[:100]}` is no regular expression{because}"
        raise RefusedError(422, "invalid_pattern", message, path=path) from None
    return found.to_list() if texts else []
