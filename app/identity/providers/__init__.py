"""People whom an identity provider knows."""
