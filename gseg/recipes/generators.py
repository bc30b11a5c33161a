"""Which generators the tables are about: the paper's, and the embedded ones in their place.

No embedded generator is a StyleGAN2. Where a table is about one, its embedded form goes through
the same steps with another generator (`STAND_IN`) and says nothing about StyleGAN2.
"""

from typing import Final, Literal

from gseg.generators.catalogue import list_generators, load_generator
from gseg.recipes.grids import GridName
from gseg.recipes.published.cells import published_tables

StyleSet = Literal["flowers", "ffhq"]

STAND_IN: Final = "biggan.scenes32-large"
"""In place of StyleGAN2 where only embedded generators are asked for."""
_MAIN: Final = ("bigbigan.imagenet128",)
# The one in place of BigBiGAN, and one of the best.
_EMBEDDED_MAIN: Final = ("bigbigan.scenes32-large", "biggan.scenes32-large")
# Rows of Figure 5; Figure 3a is the first.
_STRIPS: Final = (
    "bigbigan.imagenet128",
    "selfcondgan.imagenet128",
    "contragan.imagenet128",
    "sagan.imagenet128",
    "stylegan2.afhqwild512",
)
_PUBLISHED_FFHQ: Final = ("stylegan2.ffhq1024",)


def main_generators(grid: GridName) -> tuple[str, ...]:
    """Name the generators of Tables 1, 6 to 8, 10, 13, 14: BigBiGAN, or two embedded ones."""
    return _MAIN if grid == "paper" else _EMBEDDED_MAIN


def table_2_generators(grid: GridName) -> tuple[str, ...]:
    """Name the twelve generators of Table 2, in its order."""
    if grid != "paper":
        return tuple(card.name for card in list_generators("embedded"))
    return _printed("2")


def angle_generators(grid: GridName) -> tuple[str, ...]:
    """Name the generators of Table 9, in its order."""
    return _printed("9") if grid == "paper" else tuple(map(_embedded, _printed("9")))


def strip_generators(grid: GridName) -> tuple[str, ...]:
    """Name the generators of Figure 5, of which the embedded ones lack StyleGAN2."""
    return _STRIPS if grid == "paper" else tuple(map(_embedded, _STRIPS[:-1]))


def style_generators(grid: GridName, data: StyleSet) -> tuple[str, ...]:
    """Name the StyleGAN2 of Tables 11, 12 and 15.

    Args:
        grid: Which size.
        data: What it was trained on.

    Returns:
        The catalogue's, or the embedded stand-in.

    Raises:
        ValueError: The catalogue has none.
    """
    if grid != "paper":
        return (STAND_IN,)
    if data == "ffhq":
        return _PUBLISHED_FFHQ
    raise ValueError(
        "The catalogue has no StyleGAN2 trained on Flowers: the paper took one of 256 px from "
        "GitHub and does not say which. Name yours, a function that returns a generator "
        "(--generators FILE.py:FUNCTION; gseg.from_checkpoint reads StyleGAN2 files)."
    )


def resolution(generator: str) -> int:
    """Say the side of a generator's pictures.

    Args:
        generator: Catalogue name, or a function of the user's own, which is called.
    """
    cards = {card.name: card for card in list_generators()}
    card = cards[generator] if generator in cards else load_generator(generator).card
    return card.resolution


def _printed(table: str) -> tuple[str, ...]:
    """Read the generators of a table of Melas-Kyriazi et al. 2022."""
    cells = published_tables().query("paper == 'melas2022' and table == @table")
    return tuple(str(name) for name in cells["generator"].unique())


def _embedded(name: str) -> str:
    return f"{name.partition('.')[0]}.scenes32-large"
