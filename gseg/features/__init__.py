"""Feature networks for distances between sets of pictures.

The distance of a generator from its training pictures is measured in the features of a network
that was trained to classify pictures (Heusel et al. 2017): the standard Inception network, a
ResNet-50, any other backbone (`NetworkFeatures`), or for the embedded scenes a small classifier of
the ten scene classes, whose weights are shipped with the package.
"""

from gseg.features.backbones import inception_features, resnet50_features
from gseg.features.contract import FeatureExtractor, NetworkFeatures, begin_features
from gseg.features.named import features_name, open_features, parse_features
from gseg.features.scenes import SCENES_FEATURES, ScenesNetwork, scenes_features

__all__ = [
    "SCENES_FEATURES",
    "FeatureExtractor",
    "NetworkFeatures",
    "ScenesNetwork",
    "begin_features",
    "features_name",
    "inception_features",
    "open_features",
    "parse_features",
    "resnet50_features",
    "scenes_features",
]
