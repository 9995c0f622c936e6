"""The pages that everybody has who is signed in."""
