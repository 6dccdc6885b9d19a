"""The LLM engine alone, which keeps few compiled guides: more are asked for than it keeps.

    python many_guides.py ENGINE_FOLDER PARAMETERS (JSON)

Prints JSON: what each request got, and how often the model was loaded.
"""

import json
import sys
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from python_backends.engines import openvino_llm
from python_backends.engines.llm_engine import Delta, GenerationParams, Guide
from python_backends.trial import _context

GUIDES = 7
openvino_llm.MOST_GUIDES = 3
loads = list[int]()
load = openvino_llm._load


def counted(*arguments: Any) -> Any:
    loads.append(1)
    return load(*arguments)


openvino_llm._load = counted
folder, parameters = Path(sys.argv[1]), json.loads(sys.argv[2])
context = _context(folder, parameters)
engine = openvino_llm.OpenVinoLlm(context, context.engine_folder())
reasons = list[str]()
ended = threading.Semaphore(0)


def take(delta: Delta) -> None:
    if delta.finish_reason:
        reasons.append(delta.finish_reason)
        ended.release()


def ask(guide: Guide | None) -> None:
    params = GenerationParams(max_tokens=4, seed=0, stop_words=(), guide=guide)
    engine.submit([1, 2, 3], params, take)


guides = [Guide("regex", f"a{{{number}}}b+") for number in range(GUIDES)]
for guide in guides:
    ask(guide)
    ask(None)
for _ in range(2 * GUIDES):
    ended.acquire()
engine.stats()
engine.close()
print(json.dumps({"reasons": sorted(set(reasons)), "answers": len(reasons), "loads": len(loads)}))
