"""Who may do what: the one table of roles, the rules of team leads; use cases called as somebody."""
