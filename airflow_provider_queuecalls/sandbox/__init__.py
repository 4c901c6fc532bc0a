"""A queuecalls service to run on one's own machine."""
