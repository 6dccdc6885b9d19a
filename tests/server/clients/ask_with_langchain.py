"""Ask `ensemble_uint32` with langchain-nvidia-trt as it is published: URL, prompt, tokens.

Prints JSON: the answer as a whole, and the chunks of a stream.
"""

import json
import os
import sys

from langchain_nvidia_trt import TritonTensorRTLLM

url, prompt, tokens = sys.argv[1:]
llm = TritonTensorRTLLM(server_url=url, model_name="ensemble_uint32", tokens=int(tokens))
print(json.dumps({"whole": llm.invoke(prompt), "chunks": list(llm.stream(prompt))}), flush=True)
# The package leaves its stream open: gRPC has been seen to wait for it at exit, without end.
os._exit(0)
