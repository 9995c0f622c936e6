"""Users and teams, and the names they may have."""
