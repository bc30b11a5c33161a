"""Tables, figures and reports of results (floor 7)."""
