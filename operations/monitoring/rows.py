"""The rows of the dashboard, from what users feel down to what causes it."""

from operations.monitoring.model_rows import ENCODERS, LLM, SUPERVISOR
from operations.monitoring.service_rows import ERRORS, OVERVIEW, STAGES

ROWS = (OVERVIEW, LLM, ENCODERS, STAGES, ERRORS, SUPERVISOR)
