"""Accuracy, IoU, Fβ, mean absolute error and precision-recall curves, in named profiles.

One pass over the pixels (`pixel_histogram`) serves every profile and every threshold;
`MetricSums` turns its counts into scores of each picture and into means that merge.
"""

from gseg.metrics.counts import PixelHistogram, begin_histogram, pixel_histogram
from gseg.metrics.images import BETA_SQUARED, ImageScores, score_images
from gseg.metrics.profiles import PROFILES, MetricProfile, ProfileName, metric_profile
from gseg.metrics.sums import Aggregate, MetricSums, merge_sums

__all__ = [
    "BETA_SQUARED",
    "PROFILES",
    "Aggregate",
    "ImageScores",
    "MetricProfile",
    "MetricSums",
    "PixelHistogram",
    "ProfileName",
    "begin_histogram",
    "merge_sums",
    "metric_profile",
    "pixel_histogram",
    "score_images",
]
