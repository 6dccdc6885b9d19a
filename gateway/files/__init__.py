"""Files that clients upload, and the collections that these are put into: OpenAI's vector stores.

The register (SQLite) says whose they are and how far each file is; the passages are in a collection
of the models' server. A file is `completed` once a search finds it.
"""
