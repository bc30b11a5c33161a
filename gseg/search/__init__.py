"""Searching over settings: spaces, objectives without labels, points, and what came out of them."""
