"""Which model answers a call that leaves the choice to us, and who stands in when one fails."""
