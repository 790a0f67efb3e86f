"""The flags that name the signers' authorities: one pair for all, or one pair per signer.

Source: cmd/kube-controller-manager/app/options `csrsigningcontroller.go`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kplane.runtime.process import Fatal

SIGNERS = {
    "kubelet-serving": "kubernetes.io/kubelet-serving",
    "kubelet-client": "kubernetes.io/kube-apiserver-client-kubelet",
    "kube-apiserver-client": "kubernetes.io/kube-apiserver-client",
    "legacy-unknown": "kubernetes.io/legacy-unknown",
}
"""Part of the flags' names -> signer."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--cluster-signing-cert-file", type=Path, help="authority that signs for every signer of ours")
    add("--cluster-signing-key-file", type=Path, help="its key")
    for part, signer in SIGNERS.items():
        add(f"--cluster-signing-{part}-cert-file", type=Path, help=f"authority that signs for {signer}")
        add(f"--cluster-signing-{part}-key-file", type=Path, help="its key")


def files(options: dict[str, Any]) -> Mapping[str, tuple[Path, Path]]:
    """Take the flags out of `options`: signer -> certificate and key. Raises Fatal."""
    default = _pair(options, "")
    own = {signer: _pair(options, f"{part}-") for part, signer in SIGNERS.items()}
    if default and any(own.values()):
        raise Fatal(
            "--cluster-signing-cert-file and --cluster-signing-key-file exclude those of single signers: "
            "pass either"
        )
    return {signer: chosen for signer, pair in own.items() if (chosen := pair or default)}


def _pair(options: dict[str, Any], part: str) -> tuple[Path, Path] | None:
    names = [f"cluster-signing-{part}{end}-file" for end in ("cert", "key")]
    certificate, key = (options.pop(name.replace("-", "_")) for name in names)
    if (certificate is None) is not (key is None):
        raise Fatal(f"--{names[0]} and --{names[1]} belong together: pass both")
    return (certificate, key) if certificate is not None else None
