"""`make evaluate`: how good retrieval and answers are over real text."""
