"""Everything that needs Ray (floor 8): where stages run, and many trials at once."""
