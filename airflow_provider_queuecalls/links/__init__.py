"""Links from a task's page."""
