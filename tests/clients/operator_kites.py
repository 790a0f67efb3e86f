"""A kopf operator for Kites: handlers, a finalizer, a timer, admission webhooks.

Run by `kopf run`; $GROUP is the group of its definition, $NAMESPACE where it looks; $KEYS holds the
certificates of its webhooks.
"""

from __future__ import annotations

import os
from typing import Any

import kopf
import kubernetes

KITE = (os.environ["GROUP"], "v1", "kites")


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    keys = os.environ["KEYS"]
    settings.admission.server = kopf.WebhookServer(
        addr="127.0.0.1", host="127.0.0.1",
        certfile=f"{keys}/apiserver.crt", pkeyfile=f"{keys}/apiserver.key", cafile=f"{keys}/ca.crt",
    )  # fmt: skip
    settings.admission.managed = f"hooks.{os.environ['GROUP']}"


@kopf.on.create(*KITE)
def created(spec: Any, name: str, namespace: str, **_: Any) -> dict[str, str]:
    child = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{name}-string"},
        "data": {"colour": spec["colour"]},
    }
    kopf.adopt(child)
    kubernetes.client.CoreV1Api().create_namespaced_config_map(namespace, child)
    return {"colour": spec["colour"]}


@kopf.on.login()
def login(**kwargs: Any) -> Any:
    return kopf.login_via_client(**kwargs)


@kopf.on.update(*KITE, field="spec.colour")
def repainted(old: str, new: str, patch: kopf.Patch, body: kopf.Body, **_: Any) -> None:
    patch.status["repainted"] = f"{old}->{new}"
    kopf.info(body, reason="Repainted", message=f"{old} became {new}")


@kopf.on.delete(*KITE)
def deleted(name: str, namespace: str, **_: Any) -> None:
    note = {"metadata": {"name": f"{name}-farewell"}}
    kubernetes.client.CoreV1Api().create_namespaced_config_map(namespace, note)


@kopf.timer(*KITE, interval=0.2)
def ticking(status: Any, patch: kopf.Patch, **_: Any) -> None:
    if status.get("ticks", 0) < 3:
        patch.status["ticks"] = status.get("ticks", 0) + 1


@kopf.on.validate(*KITE)
def acceptable(spec: Any, warnings: list[str], **_: Any) -> None:
    if spec.get("colour") == "black":
        raise kopf.AdmissionError("black kites are not seen at night", code=422)
    if spec.get("colour") == "grey":
        warnings.append("grey is dull")


@kopf.on.mutate(*KITE)
def completed(spec: Any, patch: kopf.Patch, **_: Any) -> None:
    if not spec.get("colour"):
        patch.spec["colour"] = "red"
