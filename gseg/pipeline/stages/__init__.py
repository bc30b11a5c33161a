"""The stages of a trial: each is a function of its config and of the stages before it.

    direction -> samples (-> selection) -> segmenter -> scores
    candidates -> direction (-> operators), where a direction is chosen or masks need its maps
    distance  (of the generator's pictures)

A stage looks into the store first and does only what is missing. The heavy part is a job (see
`gseg.pipeline.jobs.job`) that a backend does, in this process or on a cluster. A stage's
``_VERSION`` is raised when its code changes what comes out.
"""

from gseg.pipeline.stages.candidates import make_candidate_set
from gseg.pipeline.stages.direction import make_direction
from gseg.pipeline.stages.distance import has_reference, make_distance
from gseg.pipeline.stages.operators import with_operators
from gseg.pipeline.stages.samples import SampledSet, Wanted, make_samples
from gseg.pipeline.stages.scores import make_all_scores, make_scores
from gseg.pipeline.stages.segmenter import make_segmenter
from gseg.pipeline.stages.selection import make_selection

__all__ = [
    "SampledSet",
    "Wanted",
    "has_reference",
    "make_all_scores",
    "make_candidate_set",
    "make_direction",
    "make_distance",
    "make_samples",
    "make_scores",
    "make_segmenter",
    "make_selection",
    "with_operators",
]
