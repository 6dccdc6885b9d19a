"""One file per served model, without Triton: tensors in, tensors out."""
