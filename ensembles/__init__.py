"""What is served: tensors, contracts and the graphs that chain them. Standard library only."""
