"""Process life: configuration, logging, metrics, health, signals, serving, PKI."""
