"""Reference methods: one file per code."""
