"""What a quiet tenant notices of a flooding neighbour, and what access costs; by hand."""
