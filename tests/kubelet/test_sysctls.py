"""Which kernel parameters a pod may set."""

from __future__ import annotations

import pytest

from kplane.kubelet.sysctls import normal, refusal

from .support import pod_of


def why(name: str, *unsafe: str, **spec: object) -> str:
    found = refusal(pod_of(securityContext={"sysctls": [{"name": name, "value": "1"}]}, **spec), unsafe)
    if found is None:
        return ""
    assert found.reason == "SysctlForbidden"
    return found.message.removeprefix("Pod was rejected: ")


@pytest.mark.parametrize("name", ["kernel.shm_rmid_forced", "net/ipv4/tcp_syncookies"])
def test_safe_ones_may_be_set(name: str) -> None:
    assert why(name) == ""


def test_unsafe_ones_need_to_be_allowed() -> None:
    assert why("kernel.msgmax") == 'forbidden sysctl: "kernel.msgmax" not allowlisted'
    assert why("kernel.msgmax", "kernel.msg*") == ""
    assert why("kernel.sem", "kernel.msg*") != ""


def test_parameters_of_the_hosts_namespaces_may_not_be_set() -> None:
    assert why("net.ipv4.tcp_syncookies", hostNetwork=True).endswith("not allowed with host net enabled")
    assert why("kernel.shm_rmid_forced", hostIPC=True).endswith("not allowed with host ipc enabled")


def test_slashes_and_dots_change_places() -> None:
    assert normal("net/ipv4/conf/eno2.100/rp_filter") == "net.ipv4.conf.eno2/100.rp_filter"
