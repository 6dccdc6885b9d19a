"""`make headroom`: the largest load with which a server keeps a service level objective (SLO)."""
