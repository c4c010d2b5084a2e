"""Building structures and start frames."""
