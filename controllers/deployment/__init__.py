"""Deployment controller: replace Pods of one template by Pods of the next, a ReplicaSet per template.

`controller` takes the steps; `plan` decides sizes, `history` revisions and clean-up, `rollback` the way back
by annotation, `template` identity of templates, `status` what is reported.
"""

from .controller import DeploymentController

__all__ = ["DeploymentController"]
