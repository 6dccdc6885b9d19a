"""OpenAI's and other APIs over the models of one tritonserver.

A protocol turns its request into a `Call` (gateway/call.py), a chain of handlers answers it with
events, and the protocol turns these into its response. There is no model logic here.
"""
