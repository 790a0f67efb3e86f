"""StatefulSet controller: Pods with names, storage and an order that outlive them.

`controller` takes the steps; `plan` decides which, `identity` what a Pod of an ordinal is, `claims` its
storage, `status` what is reported, `metrics` what is counted. Revisions of the template are in
`../history.py`.
"""

from .controller import StatefulSetController

__all__ = ["StatefulSetController"]
