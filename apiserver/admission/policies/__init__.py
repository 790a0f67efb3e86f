"""Admission policies: objects whose CEL expressions refuse or change what is written.

A policy says what it is about and what must hold; bindings put it into effect, perhaps with parameters.
`source.py` keeps them compiled, `matching.py` finds those that a request concerns, `invocations.py` pairs
them with bindings and parameters; `validating.py` and `mutating.py` are the plug-ins.
Rules and texts: apiserver `admission/plugin/policy`.

Elsewhere: which policies are accepted (`registry/admissionpolicies.py`); match conditions of webhooks.
"""
