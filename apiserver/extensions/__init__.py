"""Custom resources: from a CustomResourceDefinition to a resource that is served, and back.

`loop.py` follows the definitions and acts; what it decides is in plain functions: which names are accepted
and what the conditions say (`lifecycle.py`), which rows of the scheme a definition makes (`rows.py`).
`cleanup.py` deletes the instances of a definition that goes, `conversion.py` converts between versions. The
definitions' own rules are in `registry/customresourcedefinitions.py`, those of their instances in
`registry/customresources.py`.
"""
