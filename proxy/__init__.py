"""The service proxy: turns Services and EndpointSlices into packet rules of the kernel."""
