"""HTTP: from a request's bytes to a call of the registry, and from its result to bytes."""
