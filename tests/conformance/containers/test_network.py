"""Services and pods that reach each other."""

from __future__ import annotations

from typing import Any

from kplane.testing.waiting import eventually

from ..api import Api
from .pods import Pods, of_pod

SERVE = "mkdir /www; hostname > /www/index.html; exec httpd -f -p {port} -h /www"


async def serve(pods: Pods, name: str, port: int = 8080, **more: Any) -> str:
    """A pod that answers HTTP with its name; its address."""
    ports = [{"containerPort": port, "name": f"p{port}", **more.pop("host", {})}]
    metadata = {"labels": {"app": name, **more.pop("labels", {})}}
    await pods.make(name, SERVE.format(port=port), metadata=metadata, container={"ports": ports})
    return str((await pods.running(name))["status"]["podIP"])


async def client(pods: Pods) -> None:
    await pods.make("client")
    await pods.running("client")


async def ask(pods: Pods, address: str, times: int = 1, who: str = "client") -> list[str]:
    """Who answers, that many times; a question without an answer is left out."""
    script = f"for i in $(seq {times}); do timeout 2 wget -qO- http://{address}/; done; true"
    return (await pods.exec(who, "sh", "-c", script)).out.split()


async def answered(pods: Pods, address: str, wanted: set[str]) -> None:
    """Wait until exactly these answer."""

    async def asked() -> bool:
        return set(await ask(pods, address, 8)) == wanted

    await eventually(asked, what=f"answers of {wanted}")


async def service(pods: Pods, **spec: Any) -> Any:
    made = await pods.api.make(f"{pods.core}/services", {"metadata": {"name": "s"}, "spec": spec})
    return made["spec"]


async def test_service_spreads_sticks_and_spreads_again(pods: Pods) -> None:
    for name in ("a", "b"):
        await serve(pods, name, labels={"of": "s"})
    await client(pods)
    spec = await service(
        pods, type="NodePort", selector={"of": "s"}, ports=[{"port": 80, "targetPort": "p8080"}]
    )
    host = (await pods.api.get(pods.path("a")))["status"]["hostIP"]
    addresses = (spec["clusterIP"], f"{host}:{spec['ports'][0]['nodePort']}")

    for address in addresses:
        await answered(pods, address, {"a", "b"})
    await pods.api.patch(f"{pods.core}/services/s", {"spec": {"sessionAffinity": "ClientIP"}})

    async def sticks(address: str) -> bool:
        return len(set(await ask(pods, address, 10))) == 1

    for address in addresses:
        await eventually(lambda address=address: sticks(address), what="one answering alone")
    await pods.api.patch(f"{pods.core}/services/s", {"spec": {"sessionAffinity": "None"}})
    for address in addresses:
        await answered(pods, address, {"a", "b"})
    # Through its own Service a pod reaches itself, too.
    assert "a" in await ask(pods, spec["clusterIP"], 8, who="a")


async def test_pods_reach_each_other_and_their_node_reaches_them(pods: Pods) -> None:
    address = await serve(pods, "a")
    await client(pods)

    assert await ask(pods, f"{address}:8080") == ["a"]
    from_node = await pods.node.run("busybox", "wget", "-qO-", f"http://{address}:8080/")
    assert from_node.out.split() == ["a"]


async def test_ports_of_a_service_lead_to_different_pods(pods: Pods) -> None:
    await serve(pods, "a", 8080, labels={"of": "s"})
    await serve(pods, "b", 8090, labels={"of": "s"})
    await client(pods)
    ports = [
        {"name": "one", "port": 80, "targetPort": "p8080"},
        {"name": "two", "port": 81, "targetPort": "p8090"},
    ]

    spec = await service(pods, selector={"of": "s"}, ports=ports)

    await answered(pods, f"{spec['clusterIP']}:80", {"a"})
    await answered(pods, f"{spec['clusterIP']}:81", {"b"})


async def test_slices_made_by_hand_are_endpoints(api: Api, pods: Pods, namespace: str) -> None:
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    spec = await service(pods, ports=[{"name": "x", "port": 80, "targetPort": 3000}])
    await client(pods)
    for name, port in (("a", 8080), ("b", 8090)):
        address = await serve(pods, name, port)
        piece = {
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "s"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address]}],
            "ports": [{"name": "x", "port": port, "protocol": "TCP"}],
        }
        await api.make(slices, piece)

    await answered(pods, spec["clusterIP"], {"a", "b"})


async def test_same_host_port_on_different_addresses_and_protocols(pods: Pods) -> None:
    [node] = await pods.api.items("/api/v1/nodes")
    host = next(entry["address"] for entry in node["status"]["addresses"] if entry["type"] == "InternalIP")
    for name, address, protocol in (("a", "127.0.0.1", "TCP"), ("b", host, "TCP"), ("c", host, "UDP")):
        await serve(pods, name, host={"hostPort": 54323, "hostIP": address, "protocol": protocol})

    for name, address in (("a", "127.0.0.1"), ("b", host)):
        said = await pods.node.run("busybox", "wget", "-qO-", f"http://{address}:54323/")
        assert said.out.split() == [name]


async def test_api_proxies_to_pods_and_services(api: Api, pods: Pods, core: str) -> None:
    await serve(pods, "a")
    await client(pods)
    spec = await service(pods, selector={"app": "a"}, ports=[{"name": "web", "port": 80, "targetPort": 8080}])
    await answered(pods, spec["clusterIP"], {"a"})

    for path in ("pods/a:8080", "pods/http:a:8080", "services/s:web", "services/http:s:web", "services/s:80"):
        answer = await api("GET", f"{core}/{path}/proxy/", accept="*/*")
        assert (answer.code, answer.body) == (200, "a\n")


async def test_resolver_is_as_the_pod_says(pods: Pods) -> None:
    config = {"nameservers": ["1.1.1.1"], "searches": ["resolv.conf.local"]}

    ended = await pods.run("p", "cat /etc/resolv.conf", dnsPolicy="None", dnsConfig=config)
    assert ended.log.split() == ["search", "resolv.conf.local", "nameserver", "1.1.1.1"]


async def test_pods_learn_where_the_api_is(pods: Pods) -> None:
    names = ("spec.nodeName", "status.podIP")
    env = [{"name": f"V{number}", "valueFrom": of_pod(name)} for number, name in enumerate(names)]
    script = "echo | timeout 5 nc $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT; echo $? $V0 $V1"

    ended = await pods.run("p", script, container={"env": env})
    assert ended.log.split()[-3:] == ["0", ended.pod["spec"]["nodeName"], ended.pod["status"]["podIP"]]


async def test_api_server_is_a_service_with_endpoints(api: Api) -> None:
    service = await api.get("/api/v1/namespaces/default/services/kubernetes")
    endpoints = await api.get("/api/v1/namespaces/default/endpoints/kubernetes")
    [piece] = await api.items(
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
        labelSelector="kubernetes.io/service-name=kubernetes",
    )
    [subset] = endpoints["subsets"]
    assert service["spec"]["ports"][0] | {"targetPort": 0} == {
        "name": "https", "port": 443, "protocol": "TCP", "targetPort": 0,
    }  # fmt: skip
    assert [entry["ip"] for entry in subset["addresses"]] == piece["endpoints"][0]["addresses"]
    assert (
        subset["ports"][0]["port"] == piece["ports"][0]["port"] == service["spec"]["ports"][0]["targetPort"]
    )
