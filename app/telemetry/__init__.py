"""Metrics, logs and request ids: what is seen from outside. No prompt, no image, no secret passes here."""
