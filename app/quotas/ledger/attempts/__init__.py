"""Attempts in the database: requests that later ones may be answered with."""
