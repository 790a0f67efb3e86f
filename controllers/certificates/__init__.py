"""Certificate signing requests: approval of nodes' own, signing of approved ones, removal of old ones."""
