"""Which IP families a Service has: what it asks for, what the cluster has, what it had before.

Pure. Rules and wording: `initIPFamilyFields` and `validateUpgradeDowngrade…` of upstream's Service registry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from kplane.api.field import ROOT, FieldError, Path
from kplane.api.resource import Object

SINGLE, PREFER, REQUIRE = "SingleStack", "PreferDualStack", "RequireDualStack"
_OTHER = {"IPv4": "IPv6", "IPv6": "IPv4"}
_MAY_NOT_CHANGE = "may not change once set"


def settle(now: Object, was: Object | None, cluster: Sequence[str]) -> list[FieldError]:
    """Fill in `ipFamilyPolicy` and `ipFamilies` of a spec; `cluster` are the families that it has addresses
    of, the default one first. What is returned makes the write impossible."""
    if now.get("type") == "ExternalName" or kept(now, was):
        return []
    now["ipFamilyPolicy"] = now.get("ipFamilyPolicy") or _default_policy(now, was)
    path = ROOT.spec
    faults = [*_adjust(now, was, path), *_policy_faults(now, path), *_infer(now, cluster, path)]
    if faults:
        return faults
    if now.get("clusterIP") == "None" and not now.get("selector"):
        # Nobody gives out addresses to it: it may have families that the cluster has not.
        _complete(now, cluster[0], list(_OTHER))
        return []
    if now["ipFamilyPolicy"] == REQUIRE and len(cluster) < 2:
        text = "this cluster is not configured for dual-stack services"
        faults.append(path.ipFamilyPolicy.invalid(REQUIRE, text))
    for index, family in enumerate(now.get("ipFamilies") or ()):
        if family not in cluster:
            faults.append(path.ipFamilies[index].invalid(family, "not configured on this cluster"))
    if not faults:
        _complete(now, cluster[0], cluster)
    return faults


def kept(now: Object, was: Object | None) -> bool:
    """Whether a PreferDualStack Service stays as it is, although the cluster may have other families now."""
    return (
        was is not None
        and now.get("ipFamilyPolicy") == was.get("ipFamilyPolicy") == PREFER
        and _same(now, was, "clusterIPs")
        and _same(now, was, "ipFamilies")
    )


def change_faults(now: Object, was: Object) -> Iterator[FieldError]:
    """What is wrong with going from one set of addresses and families to the other."""
    if "ExternalName" in (now.get("type"), was.get("type")):
        return
    headless, before = now.get("clusterIP") == "None", was.get("clusterIP") == "None"
    if not (headless and before):
        yield from _change(now, was, "clusterIPs", "clusterIP")
    if not headless and not before:
        yield from _change(now, was, "ipFamilies", "ipFamily")


def _change(now: Object, was: Object, plural: str, singular: str) -> Iterator[FieldError]:
    """The first never changes while there is one, the second comes and goes with the policy."""
    path, old, new = ROOT.spec, was.get(plural) or [], now.get(plural) or []
    if len(old) == len(new):
        for index, value in enumerate(old):
            if value != new[index]:
                yield path.child(plural)[index].invalid(new, _MAY_NOT_CHANGE)
        return
    if old and not new:
        yield path.child(plural)[0].invalid(new, f"primary {singular} can not be unset")
    if old and new and old[0] != new[0]:
        yield path.child(plural)[0].invalid(new, _MAY_NOT_CHANGE)
    if len(old) > len(new) == 1 and now.get("ipFamilyPolicy") != SINGLE:
        text = f"must be set to 'SingleStack' when releasing the secondary {singular}"
        yield path.ipFamilyPolicy.invalid(now.get("ipFamilyPolicy"), text)


def _default_policy(now: Object, was: Object | None) -> str:
    if was is not None and was.get("ipFamilyPolicy"):
        return str(was["ipFamilyPolicy"])
    headless = now.get("clusterIP") == "None" and not now.get("selector")
    return REQUIRE if headless else SINGLE


def _adjust(now: Object, was: Object | None, path: Path) -> Iterator[FieldError]:
    """An update to SingleStack lets go of the second address and family where the client left them."""
    if was is None:
        return
    for name, what in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
        values = now.get(name) or []
        if now["ipFamilyPolicy"] == SINGLE:
            if _same(now, was, name) and len(values) > 1:
                now[name] = values[:1]
        elif values and len(values) < len(was.get(name) or []) and values[0] == was[name][0]:
            text = f"must be 'SingleStack' to release the secondary {what}"
            yield path.ipFamilyPolicy.invalid(now["ipFamilyPolicy"], text)


def _policy_faults(now: Object, path: Path) -> Iterator[FieldError]:
    if now["ipFamilyPolicy"] != SINGLE:
        return
    for name, what in (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")):
        if len(now.get(name) or ()) == 2:
            text = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
            yield path.ipFamilyPolicy.invalid(SINGLE, text)


def _infer(now: Object, cluster: Sequence[str], path: Path) -> Iterator[FieldError]:
    """Families from addresses that were asked for."""
    addresses, families = now.get("clusterIPs") or [], list(now.get("ipFamilies") or [])
    for index, address in enumerate(addresses):
        if address == "None":
            break
        family = f"IPv{ip_address(address).version}"
        if index < len(families):
            continue
        if family not in cluster:
            text = f"{family} is not configured on this cluster"
            yield path.clusterIPs[index].invalid(addresses, text)
        else:
            families.append(family)
    if families:
        now["ipFamilies"] = families


def _complete(now: Object, default: str, known: Sequence[str]) -> None:
    families = now.setdefault("ipFamilies", []) or [default]
    if now["ipFamilyPolicy"] != SINGLE and len(families) == 1 and len(known) == 2:
        families = [*families, _OTHER[families[0]]]
    now["ipFamilies"] = families


def _same(now: Object, was: Object, name: str) -> bool:
    return (now.get(name) or []) == (was.get(name) or [])
