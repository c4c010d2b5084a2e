"""Ways to choose what is labelled: one file per idea."""
