"""A straightforward version of mask, histogram, components and area: one candidate at a time.

It loops over candidates, components and bins as the papers describe them, with NumPy and
scikit-image. The tests compare with it, and the benchmark measures how much faster the batched
version is.
"""

import numpy as np
from skimage.measure import label

WEIGHTS = (0.2989, 0.5870, 0.1140)
CONNECTIVITY = {4: 1, 8: 2}


def luminance(picture):
    """(3, H, W) -> (H, W)."""
    return sum(weight * channel for weight, channel in zip(WEIGHTS, picture, strict=True))


def lighting_mask(original, shifted):
    """(3, H, W) twice -> (H, W) bool."""
    return luminance(shifted) > luminance(original)


def clean(mask, share=0.2, strict=False, connectivity=4):
    """Drop small components; return the mask and how many components are left."""
    labels, number = label(mask, return_num=True, connectivity=CONNECTIVITY[connectivity])
    areas = [np.sum(labels == component) for component in range(1, number + 1)]
    cleaned = np.zeros_like(mask)
    left = 0
    for component, area in enumerate(areas, start=1):
        ratio = area / max(areas)
        if ratio > share or (ratio == share and not strict):
            cleaned[labels == component] = True
            left += 1
    return cleaned, left


def histogram(values, bins=12):
    """Count values in equal bins over [-1, 1]; the last bin includes 1."""
    return np.histogram(np.clip(values, -1, 1), bins=bins, range=(-1, 1))[0]


def program_maxima(counts, window=3):
    """Bins of the zero-padded moving sum that are at least as high as their neighbours."""
    smooth = np.convolve(counts, np.ones(window), mode="full")
    smooth = smooth[window // 2 : window // 2 + len(counts)]
    maxima = 0
    for place, value in enumerate(smooth):
        left = place == 0 or value >= smooth[place - 1]
        right = place == len(smooth) - 1 or value >= smooth[place + 1]
        maxima += left and right
    return maxima


def text_maxima(counts, window=3):
    """Hills of the moving average that lie wholly between the first and the last bin."""
    half = window // 2
    smooth = [
        float(np.mean(counts[max(place - half, 0) : place + half + 1]))
        for place in range(len(counts))
    ]
    maxima = 0
    start = 0
    while start < len(smooth):
        end = start
        while end + 1 < len(smooth) and np.isclose(smooth[end + 1], smooth[start], atol=1e-9):
            end += 1
        inside = start > 0 and end < len(smooth) - 1
        if inside and smooth[start - 1] < smooth[start] and smooth[end + 1] < smooth[end]:
            maxima += 1
        start = end + 1
    return maxima


def judge_program(original, shifted):
    """Mask and first reason of rejection as the official programs decide, histogram first."""
    mask, _ = clean(lighting_mask(original, shifted), strict=True, connectivity=8)
    if program_maxima(histogram(shifted)) < 2:
        return mask, "histogram"
    return mask, "area" if mask.mean() > 0.5 else None


def judge_text(original, shifted):
    """The same by Voynov et al. 2021, section 3.4; an empty mask is rejected."""
    mask, left = clean(lighting_mask(original, shifted))
    if text_maxima(histogram(luminance(shifted))) > 0:
        return mask, "histogram"
    if left == 0:
        return mask, "empty"
    return mask, "area" if mask.mean() > 0.5 else None
