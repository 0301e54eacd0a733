"""Figures drawn by matplotlib, made into SVG that a page can hold: no ids twice, no styles, colours from the page.

Matplotlib writes a document of its own, in black on white and with styles. A page that allows no styles but those in
its head, and that is read in the dark too, needs names instead: each colour of `COLOURS` becomes a class, and the
page's own style sheet says what that looks like in light, dark and print.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_IN: Final = 5.2
INK, MUTED, GRID, PAPER = "#010101", "#020202", "#030303", "#040404"
SERIES: Final = ("#0072b2", "#d55e00", "#009e73", "#8e5ea2", "#b87700", "#5b6770")
COLOURS: Final = {INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper"} | {
    colour: f"s{place}" for place, colour in enumerate(SERIES)
}
"""The class of each colour; `s0` is the accent, and the series of Okabe and Ito tell apart for all eyes."""

_SVG: Final = "http://www.w3.org/2000/svg"
_XLINK: Final = "{http://www.w3.org/1999/xlink}href"
_DROPPED: Final = frozenset({"font-family", "font"})
# Matplotlib's settings and its glyph caches are of the whole process.
_LOCK: Final = threading.Lock()


@dataclass(frozen=True)
class Picture:
    """A picture of a page.

    Args:
        title: what it shows.
        svg: an `<svg>` element.
        caption: what lines, bands and marks mean, and how many there are.
    """

    title: str
    svg: str
    caption: str


def drawn(title: str, caption: str, draw: Callable[[Figure], None], *, name: str, height_in: float = 3.0) -> Picture:
    """Gives a picture.

    Args:
        title: what it shows; a reader that sees no pictures is told it.
        caption: how to read it.
        draw: draws on an empty figure.
        name: of the picture within the page, for ids.
        height_in: of the figure, in inches at a width of `WIDTH_IN`.
    """
    with _LOCK:
        return Picture(title, _inline(_svg(draw, height_in), name, title), caption)


def _svg(draw: Callable[[Figure], None], height_in: float) -> str:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    stream = io.StringIO()
    with matplotlib.rc_context(_settings()), warnings.catch_warnings():
        # Names may have characters that the font for measuring lacks; the browser has them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    return stream.getvalue()


def _settings() -> dict[str, Any]:
    from cycler import cycler

    return {
        "svg.fonttype": "none",
        "svg.hashsalt": "mlgym",
        "svg.id": None,
        # `$` in a name is a dollar.
        "text.parse_math": False,
        "text.usetex": False,
        "font.size": 8.5,
        "axes.titlesize": 8.5,
        "axes.labelsize": 8.5,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "text.color": INK,
        "axes.labelcolor": MUTED,
        "axes.edgecolor": MUTED,
        "axes.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "axes.prop_cycle": cycler(color=SERIES),
        "grid.color": GRID,
        "grid.linewidth": 0.5,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": MUTED,
        "ytick.labelcolor": MUTED,
        "lines.linewidth": 1.4,
        "axes.formatter.useoffset": False,
    }


def _inline(svg: str, name: str, title: str) -> str:
    """Gives a document of matplotlib as an element of a page."""
    root = ElementTree.fromstring(svg)  # noqa: S314 - what matplotlib just wrote
    for element in root.iter():
        element.tag = element.tag.replace(f"{{{_SVG}}}", "")
        _with_classes(element)
        _with_own_ids(element, name)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in ("metadata", "style"):
                parent.remove(child)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("role", "img")
    root.set("aria-label", title)
    root.set("class", "plot")
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def _with_classes(element: ElementTree.Element) -> None:
    """Turns an element's style into attributes, and its colours into classes."""
    classes = []
    for declaration in (element.attrib.pop("style", "") or "").split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if not key or key in _DROPPED:
            continue
        if key in ("fill", "stroke") and value in COLOURS:
            classes.append(f"{key[0]}-{COLOURS[value]}")
        else:
            element.set(key, value)
    if element.tag == "text" and not any(each.startswith("f-") for each in classes):
        classes.append("f-ink")
    if classes:
        element.set("class", " ".join(classes))


def _with_own_ids(element: ElementTree.Element, name: str) -> None:
    identifier = element.attrib.pop("id", None)
    if identifier is not None and element.tag in ("path", "clipPath"):
        element.set("id", f"{name}-{identifier}")
    target = element.attrib.pop(_XLINK, None)
    if target is not None:
        element.set("href", f"#{name}-{target.removeprefix('#')}")
    clip = element.get("clip-path")
    if clip is not None:
        element.set("clip-path", clip.replace("url(#", f"url(#{name}-"))


def plain_axes(axes: Axes) -> None:
    """Takes the frame and the grid away."""
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
