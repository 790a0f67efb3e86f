"""API servers behind this one: APIServices, their availability, requests, discovery and schemas.

An APIService without a Service is a group and version that this server serves itself; `registration.py` keeps
one for each. One with a Service is another server's: `remotes.py` knows which there are.
"""
