"""The audit log: who asked for what, when, and how it ended. Nothing here runs unless a policy and a backend
are named."""
