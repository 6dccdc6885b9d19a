"""One file for each API: its requests become calls, events become its responses and errors."""
