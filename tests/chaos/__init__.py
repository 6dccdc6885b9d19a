"""`make chaos`: faults on the real tritonserver, what clients saw, and how it recovered."""
