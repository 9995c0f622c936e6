"""What an answer says, read out of its bytes as they pass. Pure; keeps no image."""
