"""What the stand-in is asked for, checked by rules written apart from the gateway's own."""
