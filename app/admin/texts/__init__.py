"""Texts that several doors show."""
