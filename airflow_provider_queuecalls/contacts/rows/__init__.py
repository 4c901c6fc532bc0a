"""The rows of a contact file: its columns, its phone numbers, and every rule about one row."""
