"""Stream generated text with NVIDIA's tritonclient alone.

Start the server with `make serve`. TRITON_RAG_URL names another gRPC address.
"""

import os
import queue

import numpy as np
import tritonclient.grpc as grpcclient

URL = os.environ.get("TRITON_RAG_URL", "127.0.0.1:8001")
MESSAGES = '[{"role": "user", "content": "Which port does Vebra listen on?"}]'


def tensor(name: str, value: object, datatype: str, dtype: type) -> grpcclient.InferInput:
    return grpcclient.InferInput(name, [1], datatype).set_data_from_numpy(np.array([value], dtype))


def main() -> None:
    responses: queue.Queue[tuple[grpcclient.InferResult, Exception | None]] = queue.Queue()
    inputs = [
        tensor("messages", MESSAGES, "BYTES", np.object_),
        tensor("max_tokens", 32, "INT32", np.int32),
        tensor("stream", True, "BOOL", np.bool_),
    ]
    with grpcclient.InferenceServerClient(URL) as client:
        client.start_stream(lambda result, error: responses.put((result, error)))
        client.async_stream_infer("llm", inputs)
        for result, error in iter(responses.get, None):
            if error:
                raise error
            print(result.as_numpy("text_output")[0].decode(), end="", flush=True)
            if result.get_response().parameters["triton_final_response"].bool_param:
                break
    print()


if __name__ == "__main__":
    main()
