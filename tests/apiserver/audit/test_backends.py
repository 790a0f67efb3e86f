"""How events are kept: files that rotate, batches that are bounded, servers that do not answer."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from prometheus_client import CollectorRegistry

from kplane.api.clock import Entropy
from kplane.apiserver.audit.event import Event, ObjectReference, UserInfo, encoded, legacy_line
from kplane.apiserver.audit.metrics import AuditMetrics
from kplane.apiserver.audit.policy import Stage
from kplane.apiserver.audit.rotation import RotatedFile
from kplane.apiserver.audit.settings import (
    WEBHOOK_BATCH,
    AuditSettings,
    BatchSettings,
    LogSettings,
    Mode,
    TruncateSettings,
    WebhookSettings,
)
from kplane.apiserver.audit.sinks import BackendError, Sink, sink_for
from kplane.apiserver.audit.webhook import WebhookBackend
from kplane.apiserver.config import ApiServerConfig, parse
from kplane.apiserver.server import ApiServer
from kplane.apiserver.storage.background import Background
from kplane.runtime.process import Fatal
from kplane.testing.clock import VirtualClock

from ..conftest import Api, configmap
from ..webhookserver import Received, Reply, WebhookServer
from .conftest import METADATA, Serve, write_policy

MAPS = "/api/v1/namespaces/default/configmaps"


def event(number: int = 0, **more: Any) -> Event:
    return Event(
        "Event", "audit.k8s.io/v1", "Metadata", f"id-{number}", Stage.RESPONSE_COMPLETE, "/x", "get",
        UserInfo("jane"), object_ref=ObjectReference("pods"), **more,
    )  # fmt: skip


class Kept:
    """A backend that keeps batches, or fails."""

    name = "kept"
    joins = False

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.events: list[Event] = []
        self.broken = False

    async def open(self, background: Background) -> None:
        pass

    async def write(self, events: Sequence[Event]) -> None:
        if self.broken:
            raise BackendError("the disk is full")
        self.batches.append([event.audit_id for event in events])
        self.events += events

    def hurry(self) -> None:
        pass

    async def close(self) -> None:
        pass


class Rig:
    """A sink over a `Kept`, under virtual time."""

    def __init__(
        self,
        mode: Mode = Mode.BATCH,
        batch: BatchSettings | None = None,
        truncate: TruncateSettings | None = None,
        *,
        joins: bool = False,
    ) -> None:
        self.registry = CollectorRegistry()
        self.clock = VirtualClock()
        self.backend = Kept()
        self.backend.joins = joins
        self.sink: Sink = sink_for(
            self.backend,
            mode,
            batch or BatchSettings(),
            truncate or TruncateSettings(),
            AuditMetrics(self.registry),
            self.clock,
        )
        self.background = Background()

    async def __aenter__(self) -> Rig:
        await self.background.open()
        await self.sink.open(self.background)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sink.close()
        await self.background.close()

    def errors(self, plugin: str) -> float | None:
        return self.registry.get_sample_value("apiserver_audit_error_total", {"plugin": plugin})


async def test_a_batch_goes_out_when_it_is_full_and_the_rest_after_a_while() -> None:
    async with Rig(batch=BatchSettings(max_size=2, max_wait=30)) as rig:
        for number in range(3):
            await rig.sink.take(event(number))
        await rig.clock.idle()
        assert rig.backend.batches[0] == ["id-0", "id-1"]
        await rig.sink.take(event(3))
        await rig.clock.advance(31)

    assert [name for batch in rig.backend.batches for name in batch] == ["id-0", "id-1", "id-2", "id-3"]


async def test_a_batch_that_is_not_full_waits_no_longer_than_it_may() -> None:
    async with Rig(batch=BatchSettings(max_size=400, max_wait=30)) as rig:
        await rig.sink.take(event())
        await rig.clock.advance(29)
        assert rig.backend.batches == []
        await rig.clock.advance(2)

        assert rig.backend.batches == [["id-0"]]


async def test_what_waits_is_written_at_the_end() -> None:
    async with Rig(batch=BatchSettings(max_size=400, max_wait=3000)) as rig:
        for number in range(3):
            await rig.sink.take(event(number))

    assert rig.backend.batches == [["id-0", "id-1", "id-2"]]


async def test_what_does_not_fit_into_the_buffer_is_lost_and_counted() -> None:
    async with Rig(batch=BatchSettings(buffer_size=2, max_size=10, max_wait=30)) as rig:
        taken = [await rig.sink.take(event(number)) for number in range(5)]
    lost = rig.errors("buffered")

    assert taken == [True] * 5
    assert lost == 3
    assert rig.backend.batches == [["id-0", "id-1"]]


async def test_batches_are_throttled() -> None:
    batch = BatchSettings(max_size=1, throttle_enable=True, throttle_qps=1, throttle_burst=2)
    async with Rig(batch=batch) as rig:
        for number in range(5):
            await rig.sink.take(event(number))
        await rig.clock.idle()
        assert len(rig.backend.batches) == 2
        await rig.clock.advance(1)
        assert len(rig.backend.batches) == 3
        await rig.clock.advance(2)

        assert len(rig.backend.batches) == 5


async def test_a_backend_of_lines_takes_all_that_waits() -> None:
    async with Rig(batch=BatchSettings(max_size=1), joins=True) as rig:
        for number in range(3):
            await rig.sink.take(event(number))

    assert rig.backend.batches == [["id-0", "id-1", "id-2"]]


async def test_of_a_flood_of_losses_all_are_counted_and_few_told(caplog: pytest.LogCaptureFixture) -> None:
    async with Rig(batch=BatchSettings(buffer_size=1, max_size=10, max_wait=30)) as rig:
        for number in range(500):
            await rig.sink.take(event(number))
        await rig.clock.advance(2)
        await rig.sink.take(event(500))

    assert rig.errors("buffered") == 500
    told = [record.getMessage() for record in caplog.records if "audit plugin failed" in record.message]
    assert told == [
        "audit plugin failed plugin=buffered events=1 error=audit backend queue blocked",
        "audit plugin failed plugin=buffered events=499 error=audit backend queue blocked",
    ]


@pytest.mark.parametrize(("mode", "goes_on"), [(Mode.BLOCKING, True), (Mode.BLOCKING_STRICT, False)])
async def test_only_strictness_refuses_requests_that_cannot_be_recorded(mode: Mode, goes_on: bool) -> None:
    async with Rig(mode) as rig:
        rig.backend.broken = True

        assert await rig.sink.take(event()) is goes_on
    assert rig.errors("kept") == 1


async def test_large_events_lose_their_bodies_and_larger_ones_are_lost() -> None:
    body = msgspec.Raw(b'"' + b"x" * 5000 + b'"')
    truncate = TruncateSettings(enabled=True, max_event_size=1000, max_batch_size=1000)
    async with Rig(Mode.BLOCKING, truncate=truncate) as rig:
        await rig.sink.take(event(1, request_object=body))
        await rig.sink.take(event(2, user_agent="x" * 2000))

    assert rig.backend.batches == [["id-1"]]
    assert rig.backend.events[0].request_object is None
    assert rig.backend.events[0].annotations == {"audit.k8s.io/truncated": "true"}
    assert rig.errors("truncate") == 1


async def test_batches_are_split_by_size() -> None:
    truncate = TruncateSettings(enabled=True, max_event_size=600, max_batch_size=600)
    async with Rig(batch=BatchSettings(max_size=10, max_wait=30), truncate=truncate) as rig:
        for number in range(3):
            await rig.sink.take(event(number, user_agent="x" * 200))

    assert rig.backend.batches == [["id-0"], ["id-1"], ["id-2"]]


def rotated(tmp_path: Path, clock: VirtualClock, **settings: Any) -> RotatedFile:
    found = RotatedFile(LogSettings(path=str(tmp_path / "audit.log"), maxsize=1, **settings), clock)
    found.open()
    return found


MEGABYTE = b"x" * (1024 * 1024 - 1) + b"\n"


def test_a_full_file_becomes_a_backup_named_for_the_moment(tmp_path: Path) -> None:
    log = rotated(tmp_path, VirtualClock())
    log.write([MEGABYTE, b"next\n"])
    log.close()

    assert (tmp_path / "audit.log").read_bytes() == b"next\n"
    assert (tmp_path / "audit-2026-01-01T00-00-00.000.log").read_bytes() == MEGABYTE


async def test_backups_that_are_too_many_or_too_old_go(tmp_path: Path) -> None:
    clock = VirtualClock()
    (tmp_path / "audit-notes.log").write_text("somebody else's")
    log = rotated(tmp_path, clock, maxbackup=2)
    for _ in range(5):
        log.write([MEGABYTE])
        await clock.advance(60)
    log.close()
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {
        "audit.log",
        "audit-notes.log",
        "audit-2026-01-01T00-03-00.000.log",
        "audit-2026-01-01T00-04-00.000.log",
    }

    await clock.advance(timedelta(days=1, minutes=-1, seconds=-30).total_seconds())
    rotated(tmp_path, clock, maxage=1).close()

    assert {path.name for path in tmp_path.iterdir()} == kept - {"audit-2026-01-01T00-03-00.000.log"}


def test_backups_are_compressed_where_that_is_wanted(tmp_path: Path) -> None:
    log = rotated(tmp_path, VirtualClock(), compress=True)
    log.write([MEGABYTE, b"next\n"])
    log.close()

    packed = tmp_path / "audit-2026-01-01T00-00-00.000.log.gz"
    assert gzip.decompress(packed.read_bytes()) == MEGABYTE
    assert packed.stat().st_mode & 0o777 == 0o600
    assert not packed.with_suffix("").exists()


def test_an_earlier_log_is_continued(tmp_path: Path) -> None:
    (tmp_path / "audit.log").write_text("before\n")
    log = rotated(tmp_path, VirtualClock())
    log.write([b"after\n"])
    log.close()

    assert (tmp_path / "audit.log").read_text() == "before\nafter\n"


async def test_a_strict_server_refuses_what_it_cannot_record(serve: Serve) -> None:
    async with serve(METADATA, mode=Mode.BLOCKING_STRICT) as audited:
        await audited.api.make(MAPS, configmap())
        # The log's folder is now a file's: nothing can be written once it must be opened again.
        audited.server._auditor._sinks[0]._backend._file.close()  # type: ignore[union-attr]
        audited.path.unlink()
        audited.path.parent.rmdir()
        audited.path.parent.write_text("")
        answer = await audited.api("DELETE", f"{MAPS}/settings")
        audited.path.parent.unlink()
        text = (await audited.api("GET", "/metrics")).body.decode()

        assert answer.code == 500
        assert answer.body["message"] == "Internal error occurred: failed to store audit event"
        assert (await audited.api("GET", f"{MAPS}/settings")).code == 200
        assert "apiserver_audit_requests_rejected_total 1.0" in text
        assert 'apiserver_audit_error_total{plugin="log"}' in text


def kubeconfig(folder: Path, server: WebhookServer) -> Path:
    cluster = {
        "server": f"https://127.0.0.1:{server.port}/events",
        "certificate-authority-data": server.bundle,
    }
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": "webhook-token"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = folder / "webhook.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


async def test_events_are_posted_to_the_webhook_until_the_server_has_closed(
    config: ApiServerConfig, tmp_path: Path
) -> None:
    async def taking(received: Received) -> Reply:
        return Reply()

    async with WebhookServer(tmp_path / "pki", taking) as server:
        settings = AuditSettings(
            policy_file=write_policy(tmp_path, METADATA),
            webhook=WebhookSettings(
                config_file=kubeconfig(tmp_path, server), batch=replace(WEBHOOK_BATCH, max_wait=3000)
            ),
        )
        async with ApiServer(replace(config, audit=settings)) as api:
            for _ in range(3):
                await Api(api.app)("GET", MAPS)

    assert server.received[0].headers["authorization"] == "Bearer webhook-token"
    lists = [received.body for received in server.received]
    assert {(found["kind"], found["apiVersion"]) for found in lists} == {("EventList", "audit.k8s.io/v1")}
    assert sum(len(found["items"]) for found in lists) == 6


async def test_a_webhook_that_is_busy_is_asked_again_and_later_each_time(tmp_path: Path) -> None:
    codes = [500, 429, 200]

    async def busy(received: Received) -> Reply:
        return Reply(codes.pop(0))

    clock = VirtualClock()
    async with WebhookServer(tmp_path / "pki", busy) as server:
        settings = WebhookSettings(config_file=kubeconfig(tmp_path, server))
        backend = WebhookBackend(settings, clock, Entropy(1))
        writing = asyncio.create_task(backend.write([event()]))
        for pause in (12, 18):
            async with asyncio.timeout(30):
                while clock.next_wake is None:
                    await asyncio.sleep(0)
            assert 0 < clock.next_wake <= pause
            await clock.advance(pause)
        await asyncio.wait_for(writing, 5)
        await backend.close()

    assert len(server.received) == 3


async def test_a_webhook_that_refuses_is_not_asked_again(tmp_path: Path) -> None:
    async def refusing(received: Received) -> Reply:
        return Reply(403)

    async with WebhookServer(tmp_path / "pki", refusing) as server:
        settings = WebhookSettings(config_file=kubeconfig(tmp_path, server))
        backend = WebhookBackend(settings, VirtualClock(), Entropy(1))
        with pytest.raises(BackendError, match="status 403"):
            await backend.write([event()])
        await backend.close()

    assert len(server.received) == 1


def test_flags_are_upstreams(tmp_path: Path) -> None:
    policy = write_policy(tmp_path, METADATA)
    found = parse(
        [
            "--storage-dir=x",
            f"--audit-policy-file={policy}",
            "--audit-log-path=-",
            "--audit-log-maxage=3",
            "--audit-log-mode=batch",
            "--audit-log-batch-max-wait=5s",
            "--audit-log-compress",
            "--audit-webhook-truncate-enabled=true",
            "--audit-webhook-batch-throttle-qps=2.5",
        ]
    ).audit

    assert found.policy_file == policy
    assert (found.log.path, found.log.maxage, found.log.mode) == ("-", 3, Mode.BATCH)
    assert (found.log.batch.max_wait, found.log.batch.buffer_size, found.log.compress) == (5, 10000, True)
    assert (found.webhook.truncate.enabled, found.webhook.batch.throttle_qps) == (True, 2.5)
    assert (found.webhook.batch.max_size, found.webhook.mode) == (400, Mode.BATCH)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--audit-log-path=x", "--audit-log-format=xml"], "invalid audit log format xml"),
        (["--audit-log-path=x", "--audit-log-maxage=-1"], "--audit-log-maxage -1 can't be a negative number"),
        (["--audit-log-mode=later"], "invalid audit mode later"),
        (
            ["--audit-log-path=x", "--audit-log-mode=batch", "--audit-log-batch-buffer-size=0"],
            "invalid audit batch log buffer size 0, must be a positive number",
        ),
        (
            ["--audit-log-path=x", "--audit-log-truncate-max-batch-size=1"],
            "invalid audit truncate log max batch size 1, must be greater than max event size (102400)",
        ),
        (["--audit-log-version=audit.k8s.io/v1beta1"], "invalid group version"),
    ],
)
def test_bad_flags_are_told(flags: list[str], message: str) -> None:
    with pytest.raises(Fatal) as caught:
        parse(["--storage-dir=x", *flags])

    assert message in str(caught.value)


async def test_a_server_without_a_policy_records_nothing(
    config: ApiServerConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "audit.log"
    async with ApiServer(replace(config, audit=AuditSettings(log=LogSettings(path=str(path))))) as server:
        await Api(server.app)("GET", MAPS)

    assert not path.exists()
    assert "no audit policy file was named" in caplog.text


def test_a_legacy_line_without_anybody_says_so() -> None:
    line = legacy_line(
        Event("Event", "audit.k8s.io/v1", "Metadata", "id", Stage.REQUEST_RECEIVED, "/x", "get", UserInfo())
    )

    assert line == (
        ' AUDIT: id="id" stage="RequestReceived" ip="<unknown>" method="get" user="<none>" groups="<none>" '
        'as="<self>" asgroups="<lookup>" user-agent="" namespace="<none>" uri="/x" response="<deferred>"'
    )


def test_json_is_what_json_reads() -> None:
    assert json.loads(encoded(event()))["objectRef"] == {"resource": "pods"}
