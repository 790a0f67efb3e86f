"""CertificateSigningRequests over HTTP: every rule of spec, status and approval."""

from __future__ import annotations

import time
from typing import Any

import pytest

from kplane.api.field import Path
from kplane.apiserver.registry.certificates import CertificateSigningRequestStrategy

from ..conftest import Api
from .rules import (
    DUPLICATE,
    FORBIDDEN,
    INVALID,
    REQUIRED,
    UNSUPPORTED,
    causes,
    merged,
    one,
    refused_creations,
    refused_updates,
)
from .test_certificates import PATH, certificate_pem, csr, encoded, request_pem

CONDITIONS = "status.conditions"
EARLIER = "2026-01-01T00:00:00Z"


def condition(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "status": "True", "reason": "r"} | fields


def conditions(*listed: Any, **status: Any) -> dict[str, Any]:
    return {"status": {"conditions": list(listed)} | status}


async def test_usages_are_known_and_named_once(api: Api) -> None:
    newer = request_pem().replace(b"CERTIFICATE", b"NEW CERTIFICATE")

    found = await refused_creations(api, PATH, csr(), {
        "twice": {"spec": {"usages": ["flying", "client auth", "flying", "client auth"]}},
        "none": {"spec": {"usages": []}},
        "other block": {"spec": {"request": encoded(newer)}},
        "signer": {"spec": {"signerName": ""}},
    })  # fmt: skip

    assert [cause[:2] for cause in found["twice"]] == [
        ("spec.usages[0]", UNSUPPORTED), ("spec.usages[2]", UNSUPPORTED),
        ("spec.usages[2]", DUPLICATE), ("spec.usages[3]", DUPLICATE),
    ]  # fmt: skip
    assert found["none"] == one("spec.usages", REQUIRED, "Required value")
    [(field, reason, message)] = found["other block"]
    assert (field, reason) == ("spec.request", INVALID)
    assert message.endswith("PEM block type must be CERTIFICATE REQUEST")
    assert found["signer"] == one("spec.signerName", REQUIRED, "Required value")


async def test_decisions_exclude_each_other(api: Api) -> None:
    found = await refused_updates(api, PATH, csr(), {
        "both": conditions(condition("Denied"), condition("Approved")),
        "false": conditions(condition("Failed", status="False")),
        "odd": conditions(condition("Other", status="Maybe"), condition("", status="")),
        "again": conditions(condition("Other"), condition("Other")),
    }, subresource="approval")  # fmt: skip

    assert found["both"] == one(CONDITIONS, INVALID,
        'Invalid value: "Approved": Approved and Denied conditions are mutually exclusive')  # fmt: skip
    assert found["false"] == one(f"{CONDITIONS}[0].status", UNSUPPORTED,
        'Unsupported value: "False": supported values: "True"')  # fmt: skip
    assert found["odd"] == [
        (f"{CONDITIONS}[0].status", UNSUPPORTED,
         'Unsupported value: "Maybe": supported values: "False", "True", "Unknown"'),
        (f"{CONDITIONS}[1].type", REQUIRED, "Required value"),
        (f"{CONDITIONS}[1].status", REQUIRED, "Required value"),
    ]  # fmt: skip
    assert found["again"] == one(f"{CONDITIONS}[1].type", DUPLICATE, 'Duplicate value: "Other"')


async def test_the_status_neither_decides_nor_forgets(api: Api) -> None:
    made = await api.make(PATH, csr())
    place = f"{PATH}/ann"
    approved = (await api("PUT", f"{place}/approval", merged(made, conditions(condition("Approved"))))).body

    async def told(body: Any) -> Any:
        return await api("PUT", f"{place}/status", merged(approved, body), dryRun="All")

    changed = await told(conditions(condition("Approved", reason="other"), condition("Failed")))
    removed = await told(conditions(condition("Failed")))
    added = await told(conditions(*approved["status"]["conditions"], condition("Denied")))
    issued = await told({"status": {"certificate": encoded(b"nothing")}})

    assert changed.body["status"]["conditions"][0] == approved["status"]["conditions"][0]
    assert causes(removed) == one(CONDITIONS, FORBIDDEN,
        'Forbidden: updates may not remove a condition of type "Approved"')  # fmt: skip
    assert causes(added)[-1] == (CONDITIONS, FORBIDDEN,
        'Forbidden: updates may not add a condition of type "Denied"')  # fmt: skip
    assert causes(issued) == one("status.certificate", INVALID, 'Invalid value: "<certificate data>": '
        "must contain at least one CERTIFICATE PEM block")  # fmt: skip


async def test_a_certificate_is_not_replaced(api: Api) -> None:
    made = await api.make(PATH, csr())
    status = {"status": {"certificate": encoded(certificate_pem())}}
    issued = (await api("PUT", f"{PATH}/ann/status", merged(made, status))).body

    other = await api("PUT", f"{PATH}/ann/status",
        merged(issued, {"status": {"certificate": encoded(b"x")}}))  # fmt: skip

    assert [cause[:2] for cause in causes(other)] == [
        ("status.certificate", INVALID), ("status.certificate", FORBIDDEN),
    ]  # fmt: skip


async def test_conditions_keep_the_time_that_they_are_given(api: Api) -> None:
    made = await api.make(PATH, csr())
    given = condition("Other", lastTransitionTime=EARLIER, lastUpdateTime=EARLIER)

    first = (await api("PUT", f"{PATH}/ann/approval", merged(made, conditions(given)))).body
    second = await api("PUT", f"{PATH}/ann/approval",
        merged(first, conditions(condition("Other", reason="s"))))  # fmt: skip
    moved = await api("PUT", f"{PATH}/ann/approval",
        merged(second.body, conditions(condition("Other", status="False"))))  # fmt: skip

    assert first["status"]["conditions"] == [given]
    later = second.body["status"]["conditions"][0]
    assert later["lastTransitionTime"] == EARLIER
    assert later["lastUpdateTime"] > EARLIER
    assert moved.body["status"]["conditions"][0]["lastTransitionTime"] > EARLIER


def test_what_is_wrong_with_old_conditions_may_stay() -> None:
    strategy = CertificateSigningRequestStrategy()
    [_, approval] = strategy.subresources
    assert approval.validate
    old: Any = csr() | conditions(condition("Approved"), condition("Denied"), condition(""), condition(""))
    new = merged(old, conditions(*old["status"]["conditions"], condition("Failed")))

    assert not list(approval.validate(new, old, Path()))
    assert len(list(approval.validate(new, csr(), Path()))) == 4


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(b"-----BEGIN A-----\n" * 60_000, id="no end"),
        pytest.param(b"-----BEGIN CERTIFICATE REQUEST-----\n" + b"a-" * 500_000, id="dashes"),
        pytest.param(b"-----BEGIN A-----" + b" " * 1_000_000, id="blanks"),
    ],
)
def test_a_long_request_is_looked_at_once(judge: Any, block: bytes) -> None:
    kind = judge("certificates.k8s.io", "certificatesigningrequests")
    started = time.process_time()

    [fault] = kind.faults(csr(request=encoded(block)))

    assert fault.endswith("PEM block type must be CERTIFICATE REQUEST")
    assert time.process_time() - started < 5
