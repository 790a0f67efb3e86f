"""Calling webhooks: HTTPS servers that somebody named in an object (admission, conversion).

Elsewhere: who is called when, and what the answer means (`admission/webhooks/`).
"""
