"""Build time: specs and SKUs to engines, contracts and placements to a Triton model repository."""
