"""Guards of requests and answers: redaction, rules for input, and records."""
