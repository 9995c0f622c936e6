"""Who is signed in to the console: sessions, and the links that open them once."""
