"""Service level objectives as they are written: `rag:p99<5s`, `llm:ttft_p99<1s`."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tests.load.records import Outcome, Record
from tests.load.summary import quantile

ENTRIES = {"embed": "embed", "rerank": "rerank", "llm": "llm", "rag": "rag_cancellable"}
"""What an SLO can name, and the model that is called for it."""
STREAMED = ("llm", "rag")

_FORM = "ENTRY:[ttft_]pNN<LIMIT, as in rag:p99<5s, embed:p95<200ms or llm:ttft_p99<1s"
_PATTERN = re.compile(r"(\w+):(ttft_)?p(\d+(?:\.\d+)?)<(\d+(?:\.\d+)?)(ms|s)")


@dataclass(frozen=True)
class Slo:
    """`percent` of all requests take at most `limit_s`; one without an answer takes for ever.

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
        return f"{self.entry}:{self.percentile}<{duration(self.limit_s)}"

    @property
    def requests_needed(self) -> int:
        """Requests enough that three lie above the percentile: 300 for p99; never below 50."""
        return max(50, math.ceil(round(300 / (100 - self.percent), 6)))

    def measured_s(self, records: Sequence[Record]) -> float:
        """The percentile over all requests; infinite when too many have no answer."""
        return quantile(sorted(map(self._time_s, records)), self.percent / 100)

    def _time_s(self, record: Record) -> float:
        if record.outcome is not Outcome.OK or record.first_response_s is None:
            return math.inf
        return record.first_response_s if self.is_ttft else record.latency_s


def parse(text: str) -> Slo:
    """Raises ValueError with what is possible."""
    found = _PATTERN.fullmatch(text.strip())
    if not found:
        raise ValueError(f"SLO '{text}' can't be read; write {_FORM}")
    entry, ttft, percent, limit, unit = found.groups()
    if entry not in ENTRIES:
        raise ValueError(f"SLO '{text}': no entry '{entry}'; possible: {', '.join(ENTRIES)}")
    if ttft and entry not in STREAMED:
        raise ValueError(f"SLO '{text}': '{entry}' has no first token; {' and '.join(STREAMED)} do")
    slo = Slo(entry, float(percent), float(limit) * (0.001 if unit == "ms" else 1), bool(ttft))
    if not 0 < slo.percent < 100 or slo.limit_s == 0:
        raise ValueError(f"SLO '{text}': a percentile between 0 and 100 and a limit above 0 needed")
    return slo


def duration(value_s: float) -> str:
    """`1.25s`, `88ms`; `no answer` for what is infinite."""
    if math.isinf(value_s):
        return "no answer"
    return f"{value_s:.3g}s" if value_s >= 1 else f"{1000 * value_s:.3g}ms"
