"""The report of a run: what its numbers are, which data they rest on, and what may be claimed."""

from mlgym.validation.report.facts import SCHEMA_VERSION, ReportFacts
from mlgym.validation.report.report import Report, report_of
from mlgym.validation.report.reproductions import reproduction_lines, reproduction_text

__all__ = ["SCHEMA_VERSION", "Report", "ReportFacts", "report_of", "reproduction_lines", "reproduction_text"]
