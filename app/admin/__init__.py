"""What an operator can do: one function per use case, called by every door. Prints nothing, knows no HTTP.

The functions block, because they use the database: an event loop calls them in a thread.
"""
