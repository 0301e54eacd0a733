"""Validation modes: how a config unfolds into experiments, and what becomes of the named split in each of them."""

from mlgym.validation.modes.cross import CrossValidation
from mlgym.validation.modes.deciding import DecidingPlan
from mlgym.validation.modes.grid import GridSearch, RandomSearch
from mlgym.validation.modes.nested import NestedCrossValidation, NestedPlan
from mlgym.validation.modes.search import Search, SearchPlan
from mlgym.validation.modes.select import Select

__all__ = [
    "CrossValidation",
    "DecidingPlan",
    "GridSearch",
    "NestedCrossValidation",
    "NestedPlan",
    "RandomSearch",
    "Search",
    "SearchPlan",
    "Select",
]
