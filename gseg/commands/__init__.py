"""What the commands of ``gseg`` do; `gseg.cli` says which options they have (floor 9)."""
