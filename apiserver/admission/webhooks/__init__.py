"""MutatingAdmissionWebhook and ValidatingAdmissionWebhook: admission by HTTPS servers that users name.

`configuration.py` knows the webhooks and which requests they are about, `review.py` what is asked and
answered, `calls.py` makes one call, `mutating.py` and `validating.py` are the plug-ins.
Rules: apiserver `admission/plugin/webhook`.
"""
