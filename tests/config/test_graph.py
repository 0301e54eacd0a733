"""The component graph: a tree for people, a Mermaid diagram for documents."""

from __future__ import annotations

from mlgym.config import graph, load

from .conftest import Writer
from .parts import parts

_CONFIG = """
    vars: {inner: {use: digits}}
    components:
      data: {sweep: [{use: mnist}, $vars.inner]}
      spare: {use: 'a"<b>'}
      split: {use: stratified_split, dataset: $data, fractions: {train: 1}}
      end: {use: {sweep: [one, two, three, four, five]}, parts: {sweep: [[$split.train], {x: $split.train}]}}
    experiment: {use: training, first: $end, second: $split}
"""


def test_text(config_file: Writer) -> None:
    """Everything from the experiment down, each written out once, in all alternatives; what is unused comes last."""
    assert graph(load(config_file(_CONFIG)), registry=parts).text().splitlines() == [
        "experiment (training)",
        "  first = end (one | two | three | four | ...)",
        "    parts.0: .train = split (stratified_split)",
        "      dataset = data (mnist | digits)",
        "    parts.x: .train = split (stratified_split) (see above)",
        "  second = split (stratified_split) (see above)",
        "",
        "not used:",
        'spare (a"<b>)',
    ]


def test_mermaid(config_file: Writer) -> None:
    """Arrows lead as data flows; ids are no words of Mermaid, and texts cannot break out of their quotes."""
    lines = graph(load(config_file(_CONFIG)), registry=parts).mermaid().splitlines()
    assert lines[0] == "flowchart TD"
    assert '    c_end["end<br/>one | two | three | four | ..."]' in lines
    assert '    c_spare["spare<br/>a&quot;&lt;b&gt;"]' in lines
    assert '    c_split -->|"parts.0: .train"| c_end' in lines
    assert '    c_data -->|"dataset"| c_split' in lines


def test_circles_and_unknown_names_are_drawn(config_file: Writer) -> None:
    """A config that is wrong can be drawn too, and no circle is followed forever."""
    drawn = graph(
        load(config_file("components: {a: {use: x, b: $b}, b: {use: y, a: $a}}\nexperiment: {use: z, a: $a, c: $c}\n")),
        registry=parts,
    )
    assert drawn.text().splitlines() == [
        "experiment (z)",
        "  a = a (x)",
        "    b = b (y)",
        "      a = a (x) (see above)",
        "  c = c (unknown)",
    ]
