"""Where collections are kept: the stores behind `collections` and `vector_search`.

store           the protocol, and what goes in and out
filters         what a search may ask of a document's metadata
lance_store     LanceDB: files of one machine
postgres_store  PostgreSQL with pgvector: a server that several machines share
load            which of them a setting names
move            copies a collection from one to another
"""
