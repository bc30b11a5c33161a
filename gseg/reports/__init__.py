"""Tables, figures and reports of results (floor 7)."""

from gseg.reports.directions import direction_cosines
from gseg.reports.figures import distance_figure, generator_sheet
from gseg.reports.heat import heat_map
from gseg.reports.report import build_report, write_report
from gseg.reports.sheets import trial_sheet
from gseg.reports.tables import summary, summary_table

__all__ = [
    "build_report",
    "direction_cosines",
    "distance_figure",
    "generator_sheet",
    "heat_map",
    "summary",
    "summary_table",
    "trial_sheet",
    "write_report",
]
