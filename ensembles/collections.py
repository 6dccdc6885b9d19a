"""Collections: stored documents, and the two models that use them.

`collections` writes and lists them; `vector_search` finds passages in one. A collection belongs to
the embedder that made its embeddings (`Manifest.embedding_space`): with another embedder, both
models refuse it.
"""

from ensembles.contracts import CANDIDATE_PLACES, CANDIDATE_SENTENCES, NUM_SEARCHED, ModelContract
from ensembles.tensors import DType, optional, tensor

OPERATIONS = ("create", "upsert", "remove", "delete", "list", "describe", "documents")

NOTHING_FITS = "no passage fits"
"""How an error begins when a search finds nothing: an empty collection, or a narrow filter."""

STORE_VARIABLE = "TRITON_RAG_COLLECTIONS"
"""Environment variable of the server: the folder of collections, or a postgresql:// URL."""

COLLECTIONS = ModelContract(
    name="collections",
    inputs=(
        tensor("operation", DType.STRING, 1),  # one of `OPERATIONS`
        optional("collection", DType.STRING, 1),  # all but `list` need it
        # upsert: JSON of each document: id, and title, content_hash, metadata where it has them
        optional("documents", DType.STRING, "documents"),
        optional("passages", DType.STRING, "passages"),  # upsert: those of all the documents
        optional("passage_document", DType.INT32, "passages"),  # index of each passage's document
        optional("passage_embedding", DType.FP32, "passages", "dimension"),
        optional("passage_page", DType.INT32, "passages"),  # from 1; 0: the document has no pages
        optional(
            "passage_metadata", DType.STRING, "passages"
        ),  # JSON objects, returned as they are
        optional("document_ids", DType.STRING, "documents"),  # remove
        optional("after", DType.STRING, 1),  # documents: the last id of the previous page
        optional("limit", DType.INT32, 1),  # documents: 1 to 10,000; default 1,000
    ),
    outputs=(tensor("result", DType.STRING, 1),),  # JSON object
)
"""Makes, changes, lists and deletes collections; the only model that writes to the store.

An `upsert` or a `remove` is one commit: a search sees all of it or nothing. Documents are replaced
whole; those with an id that the collection lacks are added.
"""

VECTOR_SEARCH = ModelContract(
    name="vector_search",
    inputs=(
        tensor("query", DType.STRING, 1),
        tensor("query_embedding", DType.FP32, 1, "dimension"),
        tensor("collection", DType.STRING, 1),
        optional("filter", DType.STRING, 1),  # JSON: conditions on documents
        optional("num_candidates", DType.INT32, 1),  # at least 1; default from the placement
    ),
    outputs=(
        tensor("candidates", DType.STRING, "candidates"),  # best first
        tensor("candidates_in_context", DType.STRING, "candidates"),  # each below its headings
        tensor("candidate_document", DType.INT32, "candidates"),  # from 0; equal: same document
        tensor("candidate_similarity", DType.FP32, "candidates"),  # cosine, -1 to 1
        tensor("candidate_words", DType.FP32, "candidates"),  # BM25, scaled: 0 to 1
        *CANDIDATE_SENTENCES,
        *CANDIDATE_PLACES,
        NUM_SEARCHED,
    ),
)
"""Chooses candidates for the reranker out of a collection, by similarity and words."""
