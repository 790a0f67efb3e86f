"""Streams inside an upgraded connection: SPDY/3.1 sessions, WebSockets, relays of raw bytes.

exec, attach and port-forward travel through these. A `Duplex` is one byte stream in both directions; the
SPDY session runs over any, so it also runs inside a WebSocket.
"""
