"""Feature networks for distances between sets of pictures.

The distance of a generator from its training pictures is measured in the features of a network
that was trained to classify pictures (Heusel et al. 2017): the standard Inception network, a
ResNet-50, any other backbone (`gseg.features.networks.NetworkFeatures`), or for the embedded scenes
a small classifier of the ten scene classes, whose weights are shipped with the package.
"""
