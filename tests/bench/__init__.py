"""`make bench`: ratios measured in one run, written into docs/benchmarks.md."""
