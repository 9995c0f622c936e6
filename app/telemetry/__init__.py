"""Metrics, logs and request ids: what is seen from outside. No prompt, no picture, no secret passes here."""
