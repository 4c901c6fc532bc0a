"""What was sent: the ledger of each campaign, and where its entries are kept."""
