"""Functions on tensors, with the names and arguments of `torch.*`; re-exported by `fastcnn`."""
