"""The metrics of each page, told apart by the beginnings of their names."""

from ensembles import metrics
from ensembles.metrics import Metric

_ALL = [value for value in vars(metrics).values() if isinstance(value, Metric)]
GATEWAY_METRICS = [metric for metric in _ALL if metric.name.startswith("gateway_")]
SUPERVISOR_METRICS = [metric for metric in _ALL if metric.name.startswith("rag_supervisor_")]
MODEL_METRICS = [m for m in _ALL if m not in GATEWAY_METRICS and m not in SUPERVISOR_METRICS]
