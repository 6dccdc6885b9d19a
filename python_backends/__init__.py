"""What runs inside Triton's Python backend: stages over the contracts in `ensembles`.

No module here imports an engine or Triton's stub when it is imported; `load` functions do.
"""
