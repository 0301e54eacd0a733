"""The config language: reading, checking, unfolding, resolving and building configs. Knows no PyTorch."""

from mlgym.config.build import RunFacts, build, build_component
from mlgym.config.check import check
from mlgym.config.contradiction import contradictions_of_launch
from mlgym.config.describe import Description, ParameterDescription, describe
from mlgym.config.difference import ConfigChange, config_changes, is_admitted
from mlgym.config.document import Document, load, render_with_places, use
from mlgym.config.dump import dump_yaml
from mlgym.config.graph import Edge, Graph, graph
from mlgym.config.implied import Follows
from mlgym.config.imports import import_user_modules
from mlgym.config.modes import VALIDATION_MODES
from mlgym.config.plan import Mode, ModeView, Outline, Plan
from mlgym.config.registry import REGISTRY, Component, Registry, register
from mlgym.config.resolve import config_id, resolve
from mlgym.config.schema import json_schema
from mlgym.config.shared_out import too_small_to_share
from mlgym.config.space import Point, SearchSpace

__all__ = [
    "REGISTRY",
    "VALIDATION_MODES",
    "Component",
    "ConfigChange",
    "Description",
    "Document",
    "Edge",
    "Follows",
    "Graph",
    "Mode",
    "ModeView",
    "Outline",
    "ParameterDescription",
    "Plan",
    "Point",
    "Registry",
    "RunFacts",
    "SearchSpace",
    "build",
    "build_component",
    "check",
    "config_changes",
    "config_id",
    "contradictions_of_launch",
    "describe",
    "dump_yaml",
    "graph",
    "import_user_modules",
    "is_admitted",
    "json_schema",
    "load",
    "register",
    "render_with_places",
    "resolve",
    "too_small_to_share",
    "use",
]
