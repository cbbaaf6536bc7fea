"""From the bytes of a response to a record: event streams, replies, token counts."""
