"""`make tune`: finds the placement that serves most within a service-level objective."""
