"""Calling hours: where a number may be, which hours hold there, and whether a campaign is within them."""
