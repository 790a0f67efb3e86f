"""etcd killed and started again while it is watched and written to: nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from kplane.api.clock import SystemClock
from kplane.apiserver.storage import codec
from kplane.apiserver.storage.etcd import EtcdConfig, EtcdStore
from kplane.apiserver.storage.hub import Hub
from kplane.apiserver.storage.store import Change, CompareFailed, Store, StoreError
from kplane.runtime import pki
from kplane.testing.etcd import Etcd
from kplane.testing.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("etcd")]


@asynccontextmanager
async def connected(*urls: str) -> AsyncIterator[EtcdStore]:
    store = EtcdStore(EtcdConfig(urls), SystemClock())
    await store.open()
    try:
        yield store
    finally:
        await store.close()


class Writers:
    """Tasks that write new keys until stopped, and remember what was acknowledged."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._prefix = prefix
        self.acknowledged: dict[str, int] = {}
        self.failures = 0
        self.stopping = False

    async def write(self, lane: int) -> None:
        number = 0
        while not self.stopping:
            number += 1
            key = f"{self._prefix}{lane}-{number}"
            body = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": key}}
            try:
                self.acknowledged[key] = await self._store.put(key, codec.encode(body), expect=0)
            except StoreError:
                self.failures += 1
                await SystemClock().sleep(0.02)

    async def progress(self) -> None:
        """Return when ten more writes were acknowledged."""
        goal = len(self.acknowledged) + 10
        await eventually(lambda: len(self.acknowledged) >= goal)


async def test_a_watch_outlives_kills_and_misses_nothing() -> None:
    seen: list[Change] = []

    async def follow(store: Store) -> None:
        async with aclosing(store.watch("/registry/", 0)) as batches:
            async for batch in batches:
                seen.extend(batch.changes)

    async with Etcd() as etcd, connected(etcd.url) as store, asyncio.TaskGroup() as tasks:
        writers = Writers(store, "/registry/pods/ns/")
        following = tasks.create_task(follow(store))
        lanes = [tasks.create_task(writers.write(lane)) for lane in range(4)]
        for _ in range(3):
            await writers.progress()
            await etcd.kill()
            await etcd.start()
        await writers.progress()
        writers.stopping = True
        await asyncio.wait(lanes)

        page = await store.range("/registry/")
        await eventually(lambda: len(seen) >= len(page.entries))
        following.cancel()

    stored = {entry.key: entry.revision for entry in page.entries}
    assert writers.acknowledged.items() <= stored.items()
    assert {change.key: change.revision for change in seen} == stored
    assert [change.revision for change in seen] == sorted(stored.values())


async def test_the_cache_outlives_kills() -> None:
    async with Etcd() as etcd, connected(etcd.url) as store, asyncio.TaskGroup() as tasks:
        hub = Hub(store, SystemClock())
        running = tasks.create_task(hub.run())
        pods = hub.cache("/registry/pods/")
        watcher = await pods.watch()
        writers = Writers(store, "/registry/pods/ns/")
        lanes = [tasks.create_task(writers.write(lane)) for lane in range(4)]
        for _ in range(2):
            await writers.progress()
            await etcd.kill()
            await etcd.start()
        await writers.progress()
        writers.stopping = True
        await asyncio.wait(lanes)

        page = await store.range("/registry/pods/")
        listing = await pods.list(at_least=page.revision)
        watcher.close()
        events = [event async for batch in watcher for event in batch]
        running.cancel()

    assert [(item.key, item.revision) for item in listing.items] == [
        (entry.key, entry.revision) for entry in page.entries
    ]
    assert {event.item.key: event.revision for event in events} == {e.key: e.revision for e in page.entries}


async def test_reads_wait_out_a_restart() -> None:
    async with Etcd() as etcd, connected(etcd.url) as store:
        revision = await store.put("/registry/a", b"1", expect=0)
        await etcd.kill()
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(store.get("/registry/a"))
            asking = tasks.create_task(store.revision())
            await etcd.start()

        entry = reading.result()
        assert entry is not None
        assert entry.revision == asking.result() == revision


async def test_another_member_is_used_when_one_is_gone() -> None:
    async with Etcd() as gone, Etcd() as etcd:
        await gone.kill()
        async with connected(gone.url, etcd.url) as store:
            revision = await store.put("/registry/a", b"1", expect=0)
            with pytest.raises(CompareFailed):
                await store.put("/registry/a", b"2", expect=0)

            assert await store.revision() == revision


async def test_unreachable_etcd_is_told_in_a_sentence() -> None:
    async with Etcd() as etcd:
        url = etcd.url
    store = EtcdStore(EtcdConfig([url]), SystemClock())

    with pytest.raises(StoreError, match=rf"^cannot reach etcd at {url}: .*check --etcd-servers"):
        await store.open()


async def test_a_missing_certificate_file_is_told_in_a_sentence(tmp_path: Path) -> None:
    config = EtcdConfig(["https://127.0.0.1:1"], ca_file=tmp_path / "missing.crt")

    with pytest.raises(StoreError, match=r"cannot read etcd's TLS file .*missing.crt: No such file"):
        await EtcdStore(config, SystemClock()).open()


async def test_tls_with_client_certificates(tmp_path: Path) -> None:
    pki.ensure(tmp_path, server_names=["localhost"], server_ips=["127.0.0.1"])
    ca, certificate, key = (tmp_path / name for name in ("ca.crt", "apiserver.crt", "apiserver.key"))
    client = [tmp_path / f"apiserver-kubelet-client.{end}" for end in ("crt", "key")]
    flags = (
        f"--cert-file={certificate}",
        f"--key-file={key}",
        f"--trusted-ca-file={ca}",
        "--client-cert-auth",
    )
    async with Etcd(*flags, scheme="https") as etcd:
        store = EtcdStore(EtcdConfig([etcd.url], ca, *client), SystemClock())
        await store.open()
        revision = await store.put("/registry/a", b"1", expect=0)
        await store.close()
        stranger = EtcdStore(EtcdConfig([etcd.url], ca), SystemClock())
        with pytest.raises(StoreError, match="cannot reach etcd"):
            await stranger.open()

    assert revision > 1


async def test_a_renewed_client_certificate_is_shown_to_an_etcd_that_took_the_former_one_no_more(
    tmp_path: Path,
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for keys in (first, second):
        pki.ensure(keys, server_names=["localhost"], server_ips=["127.0.0.1"])
    trusted = tmp_path / "trusted.crt"
    mine = [tmp_path / "mine.crt", tmp_path / "mine.key"]

    def renew(keys: Path) -> None:
        trusted.write_bytes((keys / "ca.crt").read_bytes())
        for file in mine:
            pki.write_private(file, (keys / f"kube-scheduler{file.suffix}").read_bytes())

    renew(first)
    flags = (
        f"--cert-file={first / 'apiserver.crt'}",
        f"--key-file={first / 'apiserver.key'}",
        f"--trusted-ca-file={trusted}",
        "--client-cert-auth",
    )
    async with Etcd(*flags, scheme="https") as etcd:
        store = EtcdStore(EtcdConfig([etcd.url], first / "ca.crt", *mine), SystemClock())
        await store.open()
        await store.put("/registry/a", b"1", expect=0)
        await etcd.kill()
        renew(second)
        await etcd.start()

        found = await store.get("/registry/a")
        assert found is not None
        assert found.value == b"1"
        await store.close()


async def test_consistent_reads_notice_that_others_wrote_elsewhere() -> None:
    async with Etcd() as etcd, connected(etcd.url) as store, asyncio.TaskGroup() as tasks:
        hub = Hub(store, SystemClock())
        running = tasks.create_task(hub.run())
        pods = hub.cache("/registry/pods/")
        await pods.list()
        revision = await store.put("/elsewhere", b"", expect=0)

        listing = await pods.list()
        running.cancel()

    assert listing.revision == revision


async def test_expiring_keys_share_a_lease() -> None:
    async with Etcd() as etcd, connected(etcd.url) as store:
        await asyncio.gather(*(store.put(f"/registry/{n}", b"", expect=0, ttl=3600) for n in range(50)))

        assert await leases(etcd) == 1


async def leases(etcd: Etcd) -> int:
    """How many leases there are, as etcdctl lists them."""
    process = await asyncio.create_subprocess_exec(
        "etcdctl", f"--endpoints={etcd.url}", "lease", "list",
        env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    return len(output.decode().split("\n")) - 2
