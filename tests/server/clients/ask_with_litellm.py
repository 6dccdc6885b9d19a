"""Ask `ensemble_unary` by LiteLLM's `infer` as it is published: URL, prompt, tokens.

Prints JSON: the answer, and what the client says of a request that is refused.
"""

import json
import sys

import litellm

url, prompt, tokens = sys.argv[1:]


def ask(**values: int) -> str:
    answer = litellm.completion(
        model="triton/ensemble_unary",
        api_base=f"http://{url}/v2/models/ensemble_unary/infer",
        messages=[{"role": "user", "content": prompt}],
        **values,
    )
    return str(answer.choices[0].message.content)


def refusal() -> str:
    try:
        return ask(max_tokens=0)
    except litellm.BadRequestError as error:
        return str(error)


print(json.dumps({"whole": ask(max_tokens=int(tokens)), "refusal": refusal()}))
