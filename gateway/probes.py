"""Routes for load balancers and Prometheus: `/livez`, `/readyz`, `/health`, `/metrics`."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from gateway.errors import GatewayError
from gateway.metrics import CONTENT_TYPE
from gateway.protocols.request import service
from gateway.upstream.models import ENTRIES, Catalogue

router = APIRouter(tags=["Probes"])


@router.get("/livez")
async def livez() -> dict[str, str]:
    """200 while the process answers."""
    return {"status": "alive"}


@router.get("/health")
@router.get("/readyz")
async def readyz(request: Request) -> JSONResponse:
    """200 when every model that the repository has is ready; else 503, with what each of them
    lacks. Clients of vLLM and TEI ask at `/health`."""
    states = await _states(service(request).catalogue)
    is_ready = bool(states) and all(state == "ok" for state in states.values())
    return JSONResponse({"ready": is_ready, "models": states}, 200 if is_ready else 503)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """The models' metrics and our own, in Prometheus' text format."""
    found = service(request)
    return Response(found.metrics.page(await found.triton.metrics_page()), media_type=CONTENT_TYPE)


async def _states(catalogue: Catalogue) -> dict[str, str]:
    try:
        models = await catalogue.models()
    except GatewayError as error:
        return dict.fromkeys(ENTRIES, str(error))
    return {model.name: model.problem or "ok" for model in models if model.name in ENTRIES}
