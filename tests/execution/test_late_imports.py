"""What is found about the components of a config: the modules that they import late."""

from __future__ import annotations

from mlgym.execution.main_module import late_imports


def test_late_imports_are_those_of_every_component_in_use() -> None:
    """Each module once, those of alternatives in a sweep too; what is not registered has none."""
    data = {
        "components": {
            "data": {"sweep": [{"use": "iris"}, {"use": "digits"}, {"use": "nobody_knows"}]},
            "evaluator": {"use": "evaluator", "metrics": [{"use": "accuracy"}, {"use": "auroc"}]},
        }
    }
    modules = late_imports(data)
    assert len(modules) == len(set(modules))
    assert {"sklearn.datasets", "torchmetrics.functional.classification"} <= set(modules)
    assert late_imports({"use": "accuracy"}) == []
