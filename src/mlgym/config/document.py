"""Reading a config: file or Python dict, presets and base files, version, command line; what the sections may hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mlgym.config.dump import dump_yaml, node_with_places
from mlgym.config.load import parse_yaml, read_file
from mlgym.config.merge import Extender, document_node
from mlgym.config.mode_switch import with_switched_mode
from mlgym.config.modes import DEFAULT_MODE
from mlgym.config.nodes import PYTHON, ListNode, MapNode, Node, Scalar, Source, from_plain, shorten, to_plain
from mlgym.config.override import SECTIONS, overridden
from mlgym.config.versions import MIGRATIONS, Migration, migrated
from mlgym.errors import Fault
from mlgym.names import did_you_mean

MAX_FAULTS: Final = 20
"""So many wrong names in one place are told; who has more gave another kind of file."""
_MAPPINGS: Final = ("vars", "components", "validation")


@dataclass(frozen=True, eq=False)
class Document:
    """A config as it stands after `extends` and overrides.

    Args:
        root: its nodes with places.
        folder: where the config file lies; relative `imports` are found there first.
        text: the config as written.
        overrides: the command line's `KEY=VALUE` texts.
        default_name: taken where the config has no `name`.
        faults: what is wrong with sections and overrides; `check` reports it together with all else.
    """

    root: MapNode
    folder: Path
    text: str
    overrides: tuple[str, ...] = ()
    default_name: str = "experiment"
    faults: tuple[Fault, ...] = ()

    @property
    def data(self) -> dict[str, Any]:
        """The merged document as plain data, sweeps and references as written."""
        plain: dict[str, Any] = to_plain(self.root)
        return plain

    @property
    def version(self) -> int:
        """Version of the config language."""
        return 1

    @property
    def name(self) -> str:
        """Name of the run's subject; the file's name where the config has none."""
        name = self._plain("name")
        return name if isinstance(name, str) and name else self.default_name

    @property
    def seed(self) -> Any:
        """The seed, 0 where the config has none; a mapping where it is swept."""
        return self._plain("seed", 0)

    @property
    def imports(self) -> tuple[str, ...]:
        """Modules of the user to import."""
        imports = self._plain("imports")
        return tuple(name for name in imports if isinstance(name, str)) if isinstance(imports, list) else ()

    @property
    def validation(self) -> dict[str, Any]:
        """How the experiments are validated: `{"mode": "grid_search"}` unless told otherwise."""
        validation = self._plain("validation")
        return validation if isinstance(validation, dict) else {"mode": DEFAULT_MODE}

    @property
    def auto_resume(self) -> bool:
        """Whether a launch goes on with an unfinished run of the same config where there is one."""
        return self._plain("auto_resume", False) is True

    @property
    def identity(self) -> dict[str, Any]:
        """What makes a run of this config this run: the merged document with its name and the defaults of sections.

        `auto_resume` is no part of it: it says how to launch, not what.
        """
        merged = {key: value for key, value in self.data.items() if key != "auto_resume"}
        sections = {"version": self.version, "name": self.name, "seed": self.seed, "validation": self.validation}
        return {**sections, **merged, **sections}

    def _plain(self, section: str, default: Any = None) -> Any:
        node = self.root.get(section)
        return default if node is None else to_plain(node)


def load(
    source: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    label: str = PYTHON.label,
    migrations: Mapping[int, Migration] = MIGRATIONS,
) -> Document:
    """Gives the document of a config.

    Args:
        source: path of a YAML file, or the config as a dict; relative paths in a dict start from the current folder.
        overrides: `KEY=VALUE` texts as on the command line.
        label: how messages call a config that is a dict.
        migrations: steps from older versions of the language.

    Raises:
        ConfigError: it cannot be read or is no config; what is wrong inside is found by `check`.
    """
    if isinstance(source, Mapping):
        root = document_node(from_plain(source, Source(label, has_lines=False)))
        folder, text, name = Path.cwd(), dump_yaml(to_plain(root)), "experiment"
        trail: tuple[tuple[str, str], ...] = ()
    else:
        path = Path(source)
        file = Source(str(source))
        text = read_file(path, file)
        root = document_node(parse_yaml(text, file))
        folder, name = path.resolve().parent, path.stem
        trail = ((str(path.resolve()), str(source)),)
    root = migrated(root, migrations)
    root = Extender(migrations).extended(root, folder, trail)
    root, faults = overridden(root, overrides)
    root = with_switched_mode(root)
    return Document(root, folder, text, tuple(overrides), name, (*faults, *_section_faults(root)))


def _section_faults(root: MapNode) -> list[Fault]:
    faults = []
    for key, entry in root.entries.items():
        message = _section_complaint(key, entry.value)
        if message:
            faults.append(entry.mark.fault(key, message))
        if len(faults) == MAX_FAULTS:
            break
    if "experiment" not in root.entries:
        faults.append(root.mark.fault("", "there is no `experiment`: the component that an experiment runs"))
    return faults


def _section_complaint(key: str, node: Node) -> str | None:
    shown = shorten(str(to_plain(node)))
    if key == "sweep":
        return "`sweep` is no section: alternatives stand where the value is, such as `lr: {sweep: [0.1, 0.01]}`"
    if key not in SECTIONS:
        return f"there is no section `{key}`{did_you_mean(key, SECTIONS)}"
    if key in _MAPPINGS and not isinstance(node, MapNode):
        return f"`{key}` must be a mapping, got {shown}"
    if key == "name" and not (isinstance(node, Scalar) and isinstance(node.value, str) and node.value):
        return f"`name` must be text, got {shown}"
    if key == "auto_resume" and not (isinstance(node, Scalar) and isinstance(node.value, bool)):
        return f"`auto_resume` must be true or false, got {shown}"
    if key == "imports" and not _is_list_of_names(node):
        return f"`imports` must be a list of module names, got {shown}"
    return None


def _is_list_of_names(node: Node) -> bool:
    return isinstance(node, ListNode) and all(
        isinstance(item, Scalar) and isinstance(item.value, str) and item.value for item in node.items
    )


def render_with_places(document: Document) -> str:
    """Gives the merged document as YAML in which a comment says where each value came from: `lr: 0.1  # base.yml:3`."""
    return node_with_places(document.root)


def use(name: str, /, **params: Any) -> dict[str, Any]:
    """Gives a component for a config built in Python: `use("adam", lr=1e-3)` is `{"use": "adam", "lr": 1e-3}`."""
    return {"use": name, **params}
