"""Where objects are kept: the Store protocol, its backends, and the watch cache in front of them."""
