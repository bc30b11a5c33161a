"""The stages: what they make, as nodes of the graph of `gseg.pipeline.graph`.

    direction -> samples (-> selection) (-> relabelled) -> segmenter -> scores
    candidates -> direction (-> operators), where a direction is chosen or masks need its maps
    direction (-> threshold) -> samples, where the masks' threshold is chosen
    embeddings -> samples, where latents lie near those of pictures
    statistics -> distance (of the generator's pictures)

A stage is one class: what names its output, what that is made from, how it is built and what that
takes. The heavy part is a job (see `gseg.pipeline.jobs`) that a backend does, in this process or
on a cluster.
"""
