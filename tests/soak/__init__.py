"""`make soak`: a mixed load for a long time, and whether memory stays flat."""
