"""Requests that were refused: how many, by hour, who asked and why."""
