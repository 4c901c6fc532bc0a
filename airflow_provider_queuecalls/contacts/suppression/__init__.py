"""Suppression lists (do-not-call lists): how they are read, and how one is built of several."""
