"""The reverse proxy to pods, services, nodes and aggregated API servers: HTTP, WebSocket, any upgrade.

Nothing here decides who may ask: the boundary has done that. Bodies stream both ways and are never held.
"""
