"""Accuracy, IoU, Fβ, mean absolute error and precision-recall curves, in named profiles.

One pass over the pixels (`pixel_histogram`) serves every profile and every threshold;
`MetricSums` turns its counts into scores of each picture and into means that merge.
"""
