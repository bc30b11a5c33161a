"""From an experiment's settings to its rows: stages, the jobs they give away, and their cost."""
