"""What the operator has chosen: read and checked as a whole, in use in a process, read again while it runs."""
