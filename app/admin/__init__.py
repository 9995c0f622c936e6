"""What an operator can do: one function a use case, called by every door. Prints nothing, knows no HTTP."""
