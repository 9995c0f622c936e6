"""Copies of a store in files: made while it is used, and put back."""
