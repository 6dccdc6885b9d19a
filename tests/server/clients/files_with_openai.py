"""Files, vector stores and file search by OpenAI's own client: URL, prompt, tokens.

Prints JSON: what the client sees on the way from files to an answer.
"""

import io
import json
import sys
from pathlib import Path
from typing import Any

import openai

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
from tests.fakes.files import docx, pdf

url, *_ = sys.argv[1:]
folder = Path(__file__).resolve().parents[2] / "collection"
client = openai.OpenAI(base_url=f"{url}/v1", api_key="not-needed", max_retries=0)
QUESTION = "Which port does Vebra listen on?"


def refusal(call: Any) -> dict[str, Any]:
    try:
        call()
    except openai.APIStatusError as error:
        return {"status": error.status_code, "message": error.message}
    return {"status": 200, "message": ""}


def tool(**options: Any) -> Any:
    return {"type": "file_search", "vector_store_ids": [store.id], **options}


store = client.vector_stores.create(name="manuals", metadata={"team": "docs"})
empty = client.vector_stores.search(store.id, query=QUESTION).data
paths = sorted(folder.glob("*.md"))
attached = [
    client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=path, attributes={"letter": path.name[0]}
    )
    for path in paths[:3]
]
batch = client.vector_stores.file_batches.upload_and_poll(
    store.id, files=[path.open("rb") for path in paths[3:]]
)
scan = client.files.create(file=("scan.bin", io.BytesIO(b"\0\1\2")), purpose="assistants")
broken = client.vector_stores.files.create_and_poll(scan.id, vector_store_id=store.id)
counts = client.vector_stores.retrieve(store.id).file_counts
found = client.vector_stores.search(store.id, query=QUESTION, max_num_results=5).data
only_a = {"type": "eq", "key": "letter", "value": paths[0].name[0]}
filtered = client.vector_stores.search(store.id, query=QUESTION, filters=only_a).data
text = client.vector_stores.files.content(attached[0].id, vector_store_id=store.id).data
changed = client.vector_stores.files.update(
    attached[0].id, vector_store_id=store.id, attributes={"letter": "new"}
)
client.vector_stores.files.poll(attached[0].id, vector_store_id=store.id)
only_new = {"type": "eq", "key": "letter", "value": "new"}
renamed = client.vector_stores.search(store.id, query=QUESTION, filters=only_new).data
ended = client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
response = client.responses.create(
    model="rag", input=QUESTION, tools=[tool()], include=["file_search_call.results"]
)
with client.responses.stream(model="rag", input=QUESTION, tools=[tool()]) as stream:
    kinds = [event.type for event in stream]
    streamed = stream.get_final_response()
searched, message = response.output
best = next(file for file in client.files.list() if file.filename == found[0].filename)
client.vector_stores.files.delete(best.id, vector_store_id=store.id)
after_detach = client.vector_stores.search(store.id, query=QUESTION).data
is_kept = client.files.content(best.id).read() == (folder / best.filename).read_bytes()
client.files.delete(attached[0].id)
left = [file.id for file in client.vector_stores.files.list(store.id, limit=2, filter="completed")]
client.vector_stores.delete(store.id)
store = client.vector_stores.create(name="office")
for name, content in {
    "vebra.pdf": pdf(["Cover", "Vebra listens on port 8123."]),
    "ferry.docx": docx([("Heading1", "Ferry"), ("", "The ferry sails at noon.")]),
}.items():
    client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=(name, content))
office = client.responses.create(
    model="rag",
    input=QUESTION,
    tools=[tool()],
    include=["file_search_call.results"],
)
sails = client.vector_stores.search(store.id, query="When does the ferry sail?").data
table = ("ports.csv", b"name,port\nOdin,9\nFreya,4711\n")
client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=table)
row = client.vector_stores.search(store.id, query="Which port has Freya?").data[0]
client.vector_stores.delete(store.id)
print(
    json.dumps(
        {
            "empty": len(empty),
            "statuses": [file.status for file in attached],
            "batch": [batch.status, batch.file_counts.completed],
            "broken": [broken.status, broken.last_error.message],
            "counts": counts.model_dump(),
            "found": [found[0].filename, found[0].content[0].text, len(found)],
            "filtered": sorted({each.filename for each in filtered}),
            "text": text[0].text == paths[0].read_text(encoding="utf-8"),
            "changed": changed.status,
            "renamed": sorted({each.filename for each in renamed}),
            "ended": ended.status,
            "row": [row.filename, row.row],
            "counted": client.responses.input_tokens.count(model="llm", input="hi").input_tokens,
            "used": client.responses.create(model="llm", input="hi").usage.input_tokens,
            "answer": message.content[0].text,
            "cited": [each.model_dump() for each in message.content[0].annotations],
            "best": best.id,
            "results": [each.filename for each in searched.results],
            "streamed": streamed.output_text,
            "kinds": sorted(set(kinds)),
            "after_detach": [each.file_id for each in after_detach],
            "is_kept": is_kept,
            "office": [each.model_dump() for each in office.output[1].content[0].annotations],
            "paged": [office.output[0].results[0].filename, office.output[0].results[0].page],
            "sails": [sails[0].filename, "page" in sails[0].model_dump()],
            "left": [len(left), attached[0].id in left],
            "gone": refusal(lambda: client.vector_stores.retrieve(store.id)),
            "no_store": refusal(
                lambda: client.responses.create(model="rag", input="?", tools=[tool()])
            ),
            "bad_purpose": refusal(
                lambda: client.files.create(file=("a.txt", b"a"), purpose="fine-tune")
            ),
        }
    )
)
