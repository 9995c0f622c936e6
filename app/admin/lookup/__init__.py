"""From what people write to what is stored: users, teams, keys, models; and similar names if there is none."""
