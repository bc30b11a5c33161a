"""The numbers that both papers print, as data (floor 6).

Every results table of Melas-Kyriazi et al. 2022 and Voynov et al. 2021, cell by cell, with the
settings it was measured under, where it comes from, and whether other cells contradict it.
"""

from gseg.recipes.published.cells import PUBLISHED_COLUMNS, published_tables, unreadable_cells
from gseg.recipes.published.files import write_published

__all__ = ["PUBLISHED_COLUMNS", "published_tables", "unreadable_cells", "write_published"]
