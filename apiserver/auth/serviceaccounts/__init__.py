"""Identities of Pods: keys, tokens that are issued, and tokens that are presented."""
