"""Reservations: reserve, settle, release, expire, through one writer thread. Only this room writes them."""
