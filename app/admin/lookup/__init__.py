"""From what people write to what is stored: users, teams, keys, models; and what is like a name that is not there."""
