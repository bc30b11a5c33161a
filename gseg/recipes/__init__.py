"""Experiments by the name of the table that they reproduce."""
