"""What may go in and out: redaction, rules for input, and records of requests."""
