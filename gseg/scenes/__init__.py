"""The embedded default: procedural pictures with exact masks, and small GANs trained on them."""
