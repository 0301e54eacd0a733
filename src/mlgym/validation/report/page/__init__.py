"""The report as an HTML page with pictures."""

from mlgym.validation.report.page.page import to_fragment, to_html

__all__ = ["to_fragment", "to_html"]
