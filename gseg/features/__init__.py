"""Feature networks for distances between sets of pictures.

The distance of a generator from its training pictures is measured in the features of a network
that was trained on pictures (Heusel et al. 2017): the standard Inception network, a ResNet-50, any
other backbone (`gseg.features.networks.NetworkFeatures`), or for the embedded scenes a small
network that learnt from them without labels, whose weights are shipped with the package.
"""
