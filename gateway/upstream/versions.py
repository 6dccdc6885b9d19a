"""The version of the model that answered, for the client."""

from gateway.call import Call
from gateway.upstream.infer import Outputs

MODEL_VERSION = "x-model-version"


def note_version(call: Call, found: Outputs) -> None:
    call.headers[MODEL_VERSION] = found.version
