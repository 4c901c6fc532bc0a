"""The results database: campaigns, the results of their calls, and the numbers they have called."""
