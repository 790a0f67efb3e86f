"""API Priority and Fairness: which requests run now, which wait, and which are refused.

Decisions are plain synchronous code with an injected clock: which flow a request belongs to (`matching.py`,
`control.py`), who runs next (`queues.py`), how the server's seats are divided (`demand.py`, `sharing.py`,
`flows.py`), how many seats a request takes (`seats.py`). `gate.py` is what the request boundary asks,
`following.py` follows the API objects. Upstream: apiserver `pkg/util/flowcontrol`, KEP-1040.
"""
