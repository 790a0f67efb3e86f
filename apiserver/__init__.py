"""The API server: HTTP, storage, registry, admission, authentication. Only this component touches storage."""
