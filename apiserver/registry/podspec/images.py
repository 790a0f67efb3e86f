"""What an image's name says."""

from __future__ import annotations


def pull_policy(image: str) -> str:
    """`Always` for an image whose tag is, or is by default, `latest`."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    latest = tag == "latest" or bool(image and not tag and not digest)
    return "Always" if latest else "IfNotPresent"
