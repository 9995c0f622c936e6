"""The settings of the console: who may sign in, and for how long."""
