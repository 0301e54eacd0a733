"""What may be said about the results of a run: selection and ranking."""

from mlgym.validation.ranking import Ranked, Selection, default_selection, rank, selection_of, smaller_is_better

__all__ = ["Ranked", "Selection", "default_selection", "rank", "selection_of", "smaller_is_better"]
