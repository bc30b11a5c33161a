"""Tables and figures of results (floor 7)."""

from gseg.reports.figures import distance_figure, generator_sheet
from gseg.reports.sheets import trial_sheet
from gseg.reports.tables import summary, summary_table

__all__ = ["distance_figure", "generator_sheet", "summary", "summary_table", "trial_sheet"]
