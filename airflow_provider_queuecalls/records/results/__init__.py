"""The results of one campaign: waiting for them, and joining them with the list."""
