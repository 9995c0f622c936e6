"""Where engines are made, what the tables look like and how they change. No other room creates an engine."""
