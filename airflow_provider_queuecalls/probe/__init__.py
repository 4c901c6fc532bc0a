"""Finds out, with a real account, what the vendor's documentation leaves open.

``steps`` is the table of what is done, ``sending`` the one place that sends, ``walk`` goes through the steps, ``names`` guesses
names of form fields, and ``report`` says what was learned. The command ``queuecalls probe`` talks to the person.
"""
