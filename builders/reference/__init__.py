"""Reference models: tiny models trained here, from text that is generated here."""
