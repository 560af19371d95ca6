"""Functions behind the layers, with the names and arguments of `torch.nn.functional`."""
