"""ResourceClaims of Pods: made from templates, reserved, let go and deleted.

`plan.py` decides, `controller.py` acts, `views.py` holds what they read.
"""
