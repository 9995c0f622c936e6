"""One request's life: reserve, forward, relay and meter, settle, record."""
