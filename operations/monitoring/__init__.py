"""What operators look at: dashboards, alerts, traces, generated from ensembles/metrics.py."""
