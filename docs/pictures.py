"""Draws the pictures of `docs/validation.md`: what is trained, validated and tested in which mode, and why it matters.

    python docs/pictures.py            write docs/images/*.svg
    python docs/pictures.py --check    exit with 1 where one of them is not what would be written

Folds are drawn as MLgym's own components make them; the curve of chance is measured, with fixed seeds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from mlgym.components.data import TensorData, fold_split, folds, shuffle_folds

IMAGES: Final = Path(__file__).parent / "images"
REMEDY: Final = "run: python docs/pictures.py"
TRAIN, VAL, TEST, OUT = "#4e79a7", "#f28e2b", "#59a14f", "#e8e8e8"
INK, GREY = "#222222", "#666666"
FONT: Final = "system-ui, -apple-system, 'Segoe UI', sans-serif"


@dataclass
class Canvas:
    """An SVG picture on white paper, which reads well in dark pages too.

    Args:
        width: in pixels.
        height: in pixels.
        title: what a screen reader says.
    """

    width: int
    height: int
    title: str
    parts: list[str] = field(default_factory=list)

    def box(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        """Adds a rectangle."""
        self.parts.append(f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="2" fill="{colour}"/>')

    def text(self, x: float, y: float, words: str, *, size: int = 13, colour: str = INK, anchor: str = "start") -> None:
        """Adds a line of text; `y` is its base line."""
        place = f'x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}"'
        self.parts.append(f'<text {place} fill="{colour}">{escape(words)}</text>')

    def line(
        self, points: Sequence[tuple[float, float]], colour: str, *, width: float = 1.5, dashed: bool = False
    ) -> None:
        """Adds a line through points."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dash = ' stroke-dasharray="4 4"' if dashed else ""
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dash}/>')

    def legend(self, x: float, y: float, entries: Sequence[tuple[str, str]]) -> None:
        """Adds coloured squares with their meaning, in a row."""
        for colour, words in entries:
            self.box(x, y - 10, 12, 12, colour)
            self.text(x + 17, y, words, size=12)
            x += 30 + 7.2 * len(words)

    def svg(self) -> str:
        """Gives the file."""
        inside = "\n".join(self.parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" font-family="{FONT}" role="img">\n'
            f"<title>{escape(self.title)}</title>\n"
            f'<rect width="{self.width}" height="{self.height}" rx="8" fill="#ffffff"/>\n{inside}\n</svg>\n'
        )


# ------------------------------------------------------------------------------------------------- what is what


def single_split() -> Canvas:
    """One split: every configuration is compared on the same validation part."""
    canvas = Canvas(760, 150, "Grid search: one split into training, validation and test rows")
    _row(canvas, 40, "all rows", [(TRAIN, 0.7, "train"), (VAL, 0.15, "val"), (TEST, 0.15, "test")])
    canvas.text(
        150, 100, "Each configuration is trained on the blue rows and compared on the orange ones.", colour=GREY
    )
    canvas.text(
        150, 122, "The green rows decide nothing, and are looked at once, for the one that was chosen.", colour=GREY
    )
    return canvas


def cross_validation() -> Canvas:
    """Folds: each row is validated on once."""
    canvas = Canvas(760, 250, "Cross validation: each fold is held out once, a test part is set apart before")
    for fold in range(5):
        parts = [(VAL if place == fold else TRAIN, 0.17, "") for place in range(5)]
        _row(canvas, 30 + 32 * fold, f"fold {fold}", [*parts, (TEST, 0.15, "")])
    canvas.legend(
        150, 215, [(TRAIN, "train"), (VAL, "val: the fold"), (TEST, "test: the same for all, decides nothing")]
    )
    canvas.text(
        150, 238, "Each configuration is trained five times; its score is the mean over the folds.", colour=GREY
    )
    return canvas


def nested() -> Canvas:
    """An outer fold with its inner folds, and the fit of the winner."""
    canvas = Canvas(
        760, 420, "Nested cross validation: configurations compete on inner folds, the winner is tested once"
    )
    canvas.text(20, 28, "For each of the 5 outer folds (here: fold 1):", size=14)
    for fold in range(3):
        inner = [(VAL if place == fold else TRAIN, 0.8 / 3, "") for place in range(3)]
        # The outer fold lies between two parts of the training rows; drawn apart, the inner folds stay whole.
        _row(canvas, 60 + 32 * fold, f"inner fold {fold}", [*inner, (OUT, 0.2, "held back")])
    canvas.text(
        150,
        178,
        "1. Each configuration is trained on each inner fold; the best mean of the orange parts wins.",
        colour=GREY,
    )
    canvas.line([(450, 192), (450, 222)], INK)
    canvas.line([(445, 215), (450, 222), (455, 215)], INK)
    _row(canvas, 230, "the winner", [(TRAIN, 0.68, "train anew"), (VAL, 0.12, "val"), (TEST, 0.2, "test")])
    canvas.text(
        150,
        286,
        "2. The winner is trained once more, and scored on the outer fold, which nothing had seen.",
        colour=GREY,
    )
    canvas.text(
        150,
        306,
        "(“val” says when to stop. A split without a part “test” has none: then all of it is trained on.)",
        colour=GREY,
    )
    canvas.text(20, 346, "Five outer folds give five scores of the procedure", size=14)
    canvas.text(20, 366, "“choose among these configurations, then train”, on data that decided nothing.", size=14)
    canvas.legend(
        20, 400, [(TRAIN, "train"), (VAL, "inner fold, val"), (TEST, "outer fold, test"), (OUT, "not used yet")]
    )
    return canvas


def _row(canvas: Canvas, y: float, name: str, parts: Sequence[tuple[str, float, str]]) -> None:
    """Draws a bar of parts with their shares, 580 pixels wide in all."""
    canvas.text(140, y + 16, name, anchor="end")
    x = 150.0
    for colour, share, words in parts:
        width = 580 * share
        canvas.box(x, y, width - 2, 24, colour)
        if words:
            light = "#ffffff" if colour != OUT else GREY
            canvas.text(x + width / 2, y + 16, words, size=12, colour=light, anchor="middle")
        x += width


# ---------------------------------------------------------------------------------------------- ways to split


NUM_ROWS: Final = 36
CLASSES: Final = np.array([0] * 18 + [1] * 12 + [2] * 6)
GROUPS: Final = np.repeat(np.arange(9), 4)
CLASS_COLOURS: Final = ("#b07aa1", "#76b7b2", "#edc948")


def ways_to_split() -> Canvas:
    """Each splitter's folds on the same 36 rows, sorted by class, in nine groups."""
    ways: Mapping[str, Any] = {
        "k_fold, shuffle: false": folds.KFold(folds=4, shuffle=False, seed=0),
        "k_fold": folds.KFold(folds=4, seed=0),
        "stratified_k_fold": folds.StratifiedKFold(folds=4, seed=0),
        "group_k_fold": folds.GroupKFold(groups="group", folds=4, seed=0),
        "stratified_group_k_fold": folds.StratifiedGroupKFold(groups="group", folds=4, seed=0),
        "shuffle_split": shuffle_folds.ShuffleSplit(folds=4, test_size=0.2, seed=0),
        "time_series_split": shuffle_folds.TimeSeriesSplit(folds=4),
        "leave_one_out (4 of 36)": folds.LeaveOneOut(folds=NUM_ROWS),
    }
    canvas = Canvas(760, 84 + 92 * len(ways), "Which rows are held out in four folds of each way to split")
    canvas.text(20, 26, "36 rows, four folds each", size=14)
    canvas.legend(230, 26, [(TRAIN, "train"), (VAL, "held out"), (OUT, "not used")])
    _strip(canvas, 40, "class", [CLASS_COLOURS[number] for number in CLASSES])
    _strip(canvas, 56, "group", ["#555555" if group % 2 else "#bbbbbb" for group in GROUPS])
    for place, (name, splitter) in enumerate(ways.items()):
        top = 84 + 92 * place
        canvas.text(20, top + 34, name, size=12)
        for fold in range(4):
            _strip(canvas, top + 20 * fold, "", list(_colours(splitter, fold)), height=16)
    return canvas


def _colours(splitter: Any, fold: int) -> Iterator[str]:
    data = TensorData(torch.arange(float(NUM_ROWS))[:, None], torch.from_numpy(CLASSES), metadata={"group": GROUPS})
    parts: Any = fold_split(data, [{"part": "val", "folds": splitter, "fold": fold}])
    train, held_out = (set(parts[name].inputs[:, 0].int().tolist()) for name in ("train", "val"))
    for row in range(NUM_ROWS):
        yield VAL if row in held_out else TRAIN if row in train else OUT


def _strip(canvas: Canvas, y: float, name: str, colours: Sequence[str], *, height: float = 12) -> None:
    canvas.text(220, y + height - 2, name, size=11, colour=GREY, anchor="end")
    for place, colour in enumerate(colours):
        canvas.box(230 + 14 * place, y, 12, height, colour)


# ------------------------------------------------------------------------------------------------------ chance


NUM_CONFIGURATIONS: Final = 64
NUM_REPEATS: Final = 15


def chance() -> Canvas:
    """What the best of many looks like where there is nothing to learn."""
    best, new = _chance_scores()
    canvas = Canvas(760, 330, "On random labels, the best of 64 configurations seems far better than chance")
    left, top, width, height = 80, 50, 640, 210
    low, high = 0.4, 0.8

    def place(count: int, score: float) -> tuple[float, float]:
        return left + width * np.log2(count) / 6, top + height * (high - score) / (high - low)

    canvas.text(20, 28, "Labels drawn at random: nothing can be learned, and chance is 0.5", size=14)
    for score in (0.4, 0.5, 0.6, 0.7, 0.8):
        canvas.line([place(1, score), place(64, score)], "#dddddd", width=1)
        canvas.text(left - 10, place(1, score)[1] + 4, f"{score:.1f}", size=12, anchor="end", colour=GREY)
    for count in (1, 2, 4, 8, 16, 32, 64):
        canvas.text(place(count, low)[0], top + height + 20, str(count), size=12, anchor="middle", colour=GREY)
    canvas.text(left + width / 2, top + height + 40, "configurations tried", size=12, anchor="middle", colour=GREY)
    counts = range(1, NUM_CONFIGURATIONS + 1)
    canvas.line([place(count, float(best[count - 1])) for count in counts], VAL, width=3)
    canvas.line([place(count, float(new[count - 1])) for count in counts], TEST, width=3)
    canvas.text(
        place(20, 0)[0], place(1, float(best[-1]))[1] - 10, f"its mean over 5 folds: {best[-1]:.2f}", colour=VAL
    )
    canvas.text(place(20, 0)[0], place(1, float(new[-1]))[1] + 22, f"on 2,000 new rows: {new[-1]:.2f}", colour=TEST)
    canvas.text(left, top + 14, "accuracy of the best one", size=12, colour=GREY)
    return canvas


def _chance_scores() -> tuple[Any, Any]:
    """Gives for 1, 2 ... configurations the accuracy of the best: by its folds, and on new rows; means of repeats."""
    from sklearn.model_selection import KFold
    from sklearn.tree import DecisionTreeClassifier

    by_folds, by_new_rows = [], []
    for repeat in range(NUM_REPEATS):
        random = np.random.default_rng(repeat)
        inputs, labels = random.normal(size=(60, 20)), random.integers(0, 2, 60)
        new_inputs, new_labels = random.normal(size=(2000, 20)), random.integers(0, 2, 2000)
        inner, new = [], []
        for number in range(NUM_CONFIGURATIONS):
            # A configuration is a set of four features: as good as any other.
            chosen = random.permutation(20)[:4]
            scores = []
            for train, held_out in KFold(5, shuffle=True, random_state=0).split(inputs):
                tree = DecisionTreeClassifier(max_depth=3, random_state=number)
                tree.fit(inputs[train][:, chosen], labels[train])
                scores.append(float(np.mean(tree.predict(inputs[held_out][:, chosen]) == labels[held_out])))
            tree = DecisionTreeClassifier(max_depth=3, random_state=number).fit(inputs[:, chosen], labels)
            inner.append(float(np.mean(scores)))
            new.append(float(np.mean(tree.predict(new_inputs[:, chosen]) == new_labels)))
        winners = [int(np.argmax(inner[:count])) for count in range(1, NUM_CONFIGURATIONS + 1)]
        by_folds.append([inner[winner] for winner in winners])
        by_new_rows.append([new[winner] for winner in winners])
    return np.mean(by_folds, axis=0), np.mean(by_new_rows, axis=0)


PICTURES: Final[Mapping[str, Callable[[], Canvas]]] = {
    "single_split.svg": single_split,
    "cross_validation.svg": cross_validation,
    "nested_cross_validation.svg": nested,
    "ways_to_split.svg": ways_to_split,
    "chance.svg": chance,
}


def main(arguments: Sequence[str]) -> int:
    """Writes the pictures, or checks them; gives the exit code."""
    stale = 0
    for name, draw in PICTURES.items():
        text, path = draw().svg(), IMAGES / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if "--check" in arguments:
            sys.stderr.write(f"docs/images/{name} is stale; {REMEDY}\n")
        else:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"docs/images/{name}\n")
    return int("--check" in arguments and stale > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
