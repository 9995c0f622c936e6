"""The browser's door: the console's pages, its static files, and signing in. Knows no SQL."""
