"""Labels and identities of any kind: numbers or texts, in tensors, arrays, columns and lists."""
