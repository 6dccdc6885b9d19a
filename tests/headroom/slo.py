"""The objective: `rag:p99<5s`, `llm:ttft_p99<1s`; whether records keep it, and how many it needs."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tests.load.records import Outcome, Record
from tests.load.summary import quantile

ENTRIES = {"embed": "embed", "rerank": "rerank", "llm": "llm", "rag": "rag_cancellable"}
"""What an SLO can name, and the model that is called for it."""
STREAMED = ("llm", "rag")
FORM = "ENTRY:[ttft_]pNN<LIMIT, as in rag:p99<5s, embed:p95<200ms or llm:ttft_p99<1s"

_PATTERN = re.compile(
    r"(?P<entry>\w+):(?P<ttft>ttft_)?p(?P<percent>\d+(\.\d+)?)<(?P<limit>\d+(\.\d+)?)(?P<unit>ms|s)"
)
_ABOVE = 3
"""Requests that lie above the percentile in the smallest sample: 300 requests for p99."""


@dataclass(frozen=True)
class Slo:
    """`percent` of all requests take at most `limit_s`; requests without an answer take for ever.

    `is_ttft`: the time to the first token counts, not to the whole answer.
    """

    entry: str
    percent: float
    limit_s: float
    is_ttft: bool = False

    @property
    def percentile(self) -> str:
        return f"{'ttft_' if self.is_ttft else ''}p{self.percent:g}"

    def __str__(self) -> str:
        return f"{self.entry}:{self.percentile}<{time(self.limit_s)}"

    @property
    def requests_needed(self) -> int:
        """The fewest requests that measure the percentile; never below 50."""
        return max(50, math.ceil(round(_ABOVE / (1 - self.percent / 100), 6)))

    def measured_s(self, records: Sequence[Record]) -> float:
        """The percentile over all requests; infinite when too many have no answer."""
        times = sorted(map(self._time_s, records))
        return quantile(times, self.percent / 100) if times else math.inf

    def _time_s(self, record: Record) -> float:
        if record.outcome is not Outcome.OK:
            return math.inf
        found = record.first_response_s if self.is_ttft else record.latency_s
        return math.inf if found is None else found


def parse(text: str) -> Slo:
    """Raises ValueError with what is possible."""
    found = _PATTERN.fullmatch(text.strip())
    if not found:
        raise ValueError(f"SLO '{text}' can't be read; write {FORM}")
    entry, is_ttft, percent = found["entry"], bool(found["ttft"]), float(found["percent"])
    if entry not in ENTRIES:
        raise ValueError(f"SLO '{text}': no entry '{entry}'; possible: {', '.join(ENTRIES)}")
    if is_ttft and entry not in STREAMED:
        raise ValueError(f"SLO '{text}': '{entry}' has no first token; {' and '.join(STREAMED)} do")
    limit_s = float(found["limit"]) * (0.001 if found["unit"] == "ms" else 1)
    if not 0 < percent < 100 or limit_s == 0:
        raise ValueError(f"SLO '{text}': a percentile between 0 and 100 and a limit above 0 needed")
    return Slo(entry, percent, limit_s, is_ttft)


def time(value_s: float) -> str:
    """`1.25s`, `88ms`; `no answer` for what is infinite."""
    if math.isinf(value_s):
        return "no answer"
    return f"{value_s:.3g}s" if value_s >= 1 else f"{1000 * value_s:.3g}ms"
