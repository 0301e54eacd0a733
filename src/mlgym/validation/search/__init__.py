"""Search: strategies that are asked what comes next and told what came of it, and the account of a search under way."""

from mlgym.validation.search.by_optuna import OptunaStrategy
from mlgym.validation.search.halving import Asha, SuccessiveHalving
from mlgym.validation.search.parameters import Configuration, Parameter, Parameters
from mlgym.validation.search.strategy import (
    WAIT,
    Action,
    Finish,
    Problem,
    Promote,
    Result,
    Stop,
    Strategy,
    StrategyError,
    Try,
    Wait,
)
from mlgym.validation.search.whole import Grid, Random

__all__ = [
    "WAIT",
    "Action",
    "Asha",
    "Configuration",
    "Finish",
    "Grid",
    "OptunaStrategy",
    "Parameter",
    "Parameters",
    "Problem",
    "Promote",
    "Random",
    "Result",
    "Stop",
    "Strategy",
    "StrategyError",
    "SuccessiveHalving",
    "Try",
    "Wait",
]
