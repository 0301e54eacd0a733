"""Names of the columns for swept values, in frames and reports."""

from __future__ import annotations

from collections.abc import Collection, Iterable


def swept_columns(keys: Iterable[str], taken: Collection[str]) -> dict[str, str]:
    """Gives the column of each swept key: its short name, or its full one where the table has such a column already.

    A component may be called `split` or `step`; its column is then `components.split` or `components.step`.

    Args:
        keys: short keys such as `optimizer.lr`; repeated ones count once.
        taken: the table's own columns.
    """
    return {key: f"components.{key}" if key in taken else key for key in keys}
