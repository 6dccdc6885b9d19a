"""How good a server's passages and answers are, by questions whose answers are known."""
