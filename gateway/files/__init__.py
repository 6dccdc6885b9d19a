"""Files that clients upload, and the collections that they are put into: OpenAI's vector stores.

The register (SQLite) has the owner and the progress of each file; the passages are in a collection
of the models' server. A file is `completed` once a search finds it.
"""
