"""llama.cpp behind the server of llama-cpp-python: the LLM only, one request at a time.

It serves the very file that our LLM's spec names, in that file's precision. llama.cpp's own
`llama-server`, which batches requests, is in no package here.
"""

import os
import sys

if __name__ == "__main__":
    port, _, threads = sys.argv[1:4]
    options = {
        "--model": os.environ["BENCH_GGUF"], "--host": "127.0.0.1", "--port": port,
        "--n_threads": threads, "--n_threads_batch": threads, "--n_ctx": "4096",
        "--verbose": "False", "--interrupt_requests": "False",
    }  # fmt: skip
    flat = [each for pair in options.items() for each in pair]
    os.execv(sys.executable, [sys.executable, "-m", "llama_cpp.server", *flat])
