"""Pages for people: the parts that all of them share, and those that show campaigns from the results database."""
