"""Short ways to the curves that several rows have."""

from ensembles.metrics import Metric
from operations.monitoring.panels import Curve
from operations.monitoring.queries import Query

BY_MODEL = ("model",)


def scoped(metric: Metric, by: tuple[str, ...] = (), **where: str | tuple[str, ...]) -> Query:
    """Series of the models and versions that the reader of the dashboard chose."""
    return Query(metric, where, by, scoped=True)


def quantiles(metric: Metric, model: str | None = None) -> tuple[Curve, ...]:
    """Median and tail of a histogram, of one model or of those that the reader chose."""
    query = scoped(metric, model=model) if model else scoped(metric)
    return tuple(
        Curve(f"p{round(share * 100)}", query.quantile(share)) for share in (0.5, 0.95, 0.99)
    )
