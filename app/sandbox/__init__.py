"""A ZenMux of our own: draws pictures, keeps its own bill, fails on request. Only the CLI and tests import it."""
