"""Receives the results that the service posts, and serves scripts."""
