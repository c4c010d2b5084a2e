"""Ways to look for unknown configurations: one file per engine or method."""
