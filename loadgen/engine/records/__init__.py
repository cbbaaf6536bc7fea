"""What a request leaves behind: outcomes, timestamps and texts, in columns."""
