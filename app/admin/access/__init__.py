"""Who may do what: the one table of roles, and the rules of team leads."""
