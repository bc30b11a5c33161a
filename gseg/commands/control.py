"""The options that say when a sweep stops, and what it does about trials that failed before."""

import argparse
import math
import time
from dataclasses import dataclass
from typing import Self

from gseg.commands.app import at_least


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """When a sweep stops, and what it does again.

    Attributes:
        max_hours: Hours from the command's start after which it stops; None for no limit.
        max_trials: Trials that one run of the command starts at most; None for all.
        retry_failed: Whether trials that failed by their own fault are run again.
    """

    max_hours: float | None = None
    max_trials: int | None = None
    retry_failed: bool = False

    def __post_init__(self) -> None:
        if self.max_hours is not None and not (
            math.isfinite(self.max_hours) and self.max_hours > 0
        ):
            raise ValueError(f"--max-hours is a positive number of hours, got {self.max_hours:g}.")

    @classmethod
    def chosen(cls, options: argparse.Namespace) -> Self:
        """Give what the options of `add_control` say.

        Raises:
            ValueError: A number is out of range.
        """
        return cls(
            max_hours=options.max_hours,
            max_trials=options.max_trials,
            retry_failed=options.retry_failed,
        )

    @property
    def seconds(self) -> float | None:
        """Seconds until the sweep stops; None for no limit."""
        return None if self.max_hours is None else self.max_hours * 3600

    def seconds_left(self, begun: float) -> float | None:
        """Say how long trials may still run.

        Args:
            begun: Monotonic time at which the command started.

        Returns:
            Seconds, at least 0; None for no limit.
        """
        return None if self.seconds is None else max(self.seconds - (time.monotonic() - begun), 0.0)


def add_control(group: argparse._ArgumentGroup) -> None:
    """Add the options to a group.

    Args:
        group: Of a sweep's parser.
    """
    group.add_argument(
        "--max-hours",
        type=float,
        metavar="H",
        help="hours after which the sweep stops; what trials have done by then is kept, and the "
        "same command goes on from there. Default: no limit",
    )
    group.add_argument(
        "--max-trials",
        type=at_least(1),
        metavar="N",
        help="trials that this run of the command starts at most; the others are left for the "
        "next. Default: all",
    )
    group.add_argument(
        "--retry-failed",
        action="store_true",
        help="run trials again that have failed before and would fail again by themselves; "
        "without it they are reported with their reason",
    )
