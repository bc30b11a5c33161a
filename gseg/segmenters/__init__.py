"""Networks that find the foreground of a picture: train, keep, load and use them (floor 4)."""
