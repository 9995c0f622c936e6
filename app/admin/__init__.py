"""What an operator can do: one function a use case, called by every door. Prints nothing, knows no HTTP.

Its functions block, for they ask the database: an event loop calls them in a thread.
"""
