"""Unsupervised foreground segmentation from pretrained GANs, at scale on Ray."""
