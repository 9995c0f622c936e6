"""A ZenMux of our own: draws real pictures, keeps its own bill, fails on request. Imported by the CLI and tests only."""
