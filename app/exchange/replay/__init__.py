"""Requests that were made before: what they are answered with, so that nothing is bought twice."""
