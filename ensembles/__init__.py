"""What is served: tensors, model contracts and the graphs that chain them. Standard library only."""
