"""Measures a server's passages and answers, by questions whose answers are known."""
