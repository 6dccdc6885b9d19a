"""The front: who may ask, and in which protocol. One service over the contracts of `ensembles`.

A protocol turns its request into a `Call` (gateway/call.py), a chain of handlers answers it with
events, and the protocol turns these into its response. Nothing here knows how a model works.
"""
