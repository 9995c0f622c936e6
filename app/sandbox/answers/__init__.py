"""What the stand-in sends back, and what it bills for it."""
