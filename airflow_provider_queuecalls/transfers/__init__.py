"""Operators that bring contacts from elsewhere."""
