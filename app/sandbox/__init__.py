"""A ZenMux of our own: draws images, keeps its own bill, fails on request. Only the CLI and tests import it."""
