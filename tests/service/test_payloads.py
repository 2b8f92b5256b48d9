"""Large payloads outside Redis: in a folder or in S3, fetched by whoever needs them, gone with their workflow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from orchestrator import Branch, TaskContext, Workflow, task
from orchestrator.codec import pack
from orchestrator.errors import PayloadMissing, PayloadUnavailable, SettingsInvalid, WaitTimeout
from orchestrator.model.definitions import SchemaDef
from orchestrator.payloads import PayloadStorage, path_in, reference
from orchestrator.plan import Command, Plan
from orchestrator.service import workflows
from orchestrator.settings import Settings
from orchestrator.step_options import Cache
from orchestrator.testing import Environment
from tests.support.served import MakeEnvironment, asked

LARGE = "x" * 5_000
got: list[Any] = []


@task
def make(size: int) -> dict[str, Any]:
    return {"text": "y" * size, "size": size}


@task
def take(input: dict[str, Any], context: TaskContext) -> dict[str, Any]:
    got.append(input)
    return {"length": len(str(input))}


@pytest.fixture
def env(environment: MakeEnvironment, tmp_path: Path) -> Iterator[Environment]:
    """An installation that keeps payloads beyond 1,000 bytes in a folder."""
    got.clear()
    settings = Settings(
        partitions=1, payload_storage=f"file://{tmp_path}", payload_threshold_bytes=1_000, payload_bytes_max=50_000
    )
    with environment([make, take], settings=settings) as env:
        yield env


def files(folder: Path) -> list[str]:
    """The folders of workflows that hold payloads, once per payload."""
    return sorted(path.parent.name for path in folder.rglob("*") if path.is_file())


def largest_in_redis(env: Environment) -> int:
    """The largest value of all hashes and streams."""

    def look() -> Plan[int]:
        largest = 0
        for key in (yield Command(("KEYS", "*"))):
            kind = yield Command(("TYPE", key))
            if kind == b"hash":
                values: list[bytes] = yield Command(("HVALS", key))
                largest = max([largest, *map(len, values)])
            elif kind == b"stream":
                largest = max(largest, len(repr((yield Command(("XRANGE", key, "-", "+"))))))
        return largest

    return env.run(look())


def test_every_large_payload_is_kept_outside_and_found_by_who_needs_it(env: Environment, tmp_path: Path) -> None:
    flow = (
        Workflow("flow")
        .then(make, size=4_000)
        .then(take, first="${make.output.size}", whole="${make.output}", given="${workflow.input.text}")
        .output(made="${make.output}", length="${take.output.length}")
    )
    handle = env.client.start_workflow(flow, text=LARGE)
    result = handle.result()
    assert (result["made"]["size"], len(result["made"]["text"])) == (4_000, 4_000)
    assert got == [{"first": 4_000, "whole": {"text": "y" * 4_000, "size": 4_000}, "given": LARGE}]
    shown = handle.describe()
    assert (shown.input, shown.output) == ({"text": LARGE}, result)
    assert shown.task("make").output_data["size"] == 4_000
    assert shown.task("take").input_data["given"] == LARGE
    paths = (
        shown.external_input_payload_storage_path,
        shown.external_output_payload_storage_path,
        shown.task("make").external_output_payload_storage_path,
        shown.task("take").external_input_payload_storage_path,
    )
    assert [path.split("/")[0] for path in paths if path] == [handle.id] * 4
    assert shown.task("make").external_input_payload_storage_path is None
    assert largest_in_redis(env) < 4_000
    assert files(tmp_path) == [handle.id] * 4
    asked(env, workflows.remove, handle.id)
    assert files(tmp_path) == []


def test_an_output_that_nothing_looks_into_is_passed_on_unread(env: Environment, tmp_path: Path) -> None:
    handle = env.client.start_workflow(Workflow("flow").then(make, size=4_000))
    assert handle.result()["size"] == 4_000  # the last task's output is the workflow's: one payload for both
    assert files(tmp_path) == [handle.id]


def test_a_join_and_what_follows_it_see_large_outputs(env: Environment) -> None:
    flow = Workflow("flow")
    flow.fork(*(Branch().then(make, ref=f"m{number}", size=2_000 + number) for number in range(60)))
    flow.then(take, last="${m59.output.size}", first="${m0.output.size}").output(all="${m3.output.text}")
    handle = env.client.start_workflow(flow)
    assert len(handle.result()["all"]) == 2_003
    assert got == [{"last": 2_059, "first": 2_000}]
    join = next(one for one in handle.describe().tasks if one.task_type == "JOIN")
    assert len(join.output_data) == 60


def test_a_childs_large_output_is_its_parents_own(env: Environment, tmp_path: Path) -> None:
    env.client.register(Workflow("child").then(make, size="${workflow.input.size}"))
    parent = (
        Workflow("parent").sub_workflow("child", ref="kid", size=4_000, pad=LARGE).output(text="${kid.output.text}")
    )
    handle = env.client.start_workflow(parent)
    assert len(handle.result()["text"]) == 4_000
    child_id = handle.describe().task("kid").sub_workflow_id
    assert child_id is not None
    assert len(env.client.workflow(child_id).describe().input["pad"]) == 5_000
    asked(env, workflows.remove, child_id)
    assert len(handle.describe().task("kid").output_data["text"]) == 4_000
    assert set(files(tmp_path)) == {handle.id}


def test_schemas_look_into_large_payloads(env: Environment) -> None:
    schema = SchemaDef(name="s", data={"properties": {"size": {"maximum": 100}}})
    handle = env.client.start_workflow(Workflow("flow", output_schema=schema).then(make, size=4_000))
    env.run_until_quiet()
    assert "output.size: must be at most 100" in str(handle.describe().reason_for_incompletion)


def test_a_large_output_is_not_left_to_later_runs_because_it_goes_with_its_workflow(env: Environment) -> None:
    flow = Workflow("flow").with_options(cache=Cache("${size}", 60)).then(make, size=4_000)
    first, second = env.client.start_workflow(flow), env.client.start_workflow(flow)
    env.run_until_quiet()
    asked(env, workflows.remove, first.id)
    assert second.result()["size"] == 4_000
    assert second.describe().task("make").worker_id != "cache"


def test_beyond_the_permissible_limit_the_task_fails_for_good(env: Environment) -> None:
    handle = env.client.start_workflow(Workflow("flow").then(make, size=60_000))
    env.run_until_quiet()
    found = handle.describe().task("make")
    assert found.status == "FAILED_WITH_TERMINAL_ERROR"
    assert found.reason_for_incompletion == (
        f"The payload size: 60017 of task: {found.task_id} in workflow: {handle.id}  is greater than the permissible "
        "limit: 50000 bytes"
    )


def test_a_payload_that_is_lost_sets_its_workflow_aside_and_fails_only_its_own_task(
    env: Environment, tmp_path: Path
) -> None:
    reader = Workflow("reader").wait(signal="go").then(take, text="${workflow.input.text}")
    handle = env.client.start_workflow(reader, text=LARGE)
    for path in tmp_path.rglob(f"{handle.id}/*"):
        path.unlink()
    env._decider.reset_all()  # as another decider that has nothing in memory
    with pytest.raises(WaitTimeout):
        handle.signal("go")  # nobody answers for a workflow that is set aside
    assert "quarantined" in str(handle.describe().reason_for_incompletion)
    assert env.client.execute_workflow(Workflow("other").then(make, size=10))["size"] == 10


def test_a_storage_that_does_not_answer_holds_decisions_up_and_harms_nobody(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Workflow("reader").wait(signal="go").then(take, text="${workflow.input.text}")
    handle = env.client.start_workflow(reader, text=LARGE)
    env._decider.reset_all()

    def silent(path: str) -> bytes:
        raise PayloadUnavailable("the folder is away")

    with monkeypatch.context() as away:
        away.setattr(env.store.payloads, "read", silent)
        with pytest.raises(PayloadUnavailable):
            handle.signal("go")
    assert handle.result() == {"length": len(str({"text": LARGE}))}


def test_a_reference_cannot_be_made_of_data(env: Environment) -> None:
    path = f"{env.client.start_workflow(Workflow('flow').noop(), text=LARGE).id}/abc"
    for value in (path, {"external": path}, [reference(path).decode("latin-1")], {"": path}):
        assert path_in(pack(value)) is None
    assert path_in(reference(path)) == path
    assert [path_in(data) for data in (b"", b"\x80", b"\xc7", b"\xc7\x03\x01abc")] == [None] * 4


def test_no_workflow_id_leads_out_of_the_folder_or_into_anothers(tmp_path: Path) -> None:
    storage = PayloadStorage(f"file://{tmp_path / 'in'}", 10)
    for name in ("../out", "..", ".hidden", "a/b", "a_b", "/etc/x", "a\\b"):
        assert storage.fetched(storage.moved_out(name, b"z" * 20)) == b"z" * 20
    assert not (tmp_path / "out").exists()
    assert len({path.parent for path in (tmp_path / "in").rglob("*") if path.is_file()}) == 7
    storage.remove("a/b")
    assert storage.fetched(storage.moved_out("a_b", b"z" * 20)) == b"z" * 20


def test_writing_the_same_payload_again_changes_nothing(tmp_path: Path) -> None:
    storage = PayloadStorage(f"file://{tmp_path}", 10)
    first = storage.moved_out("w", b"z" * 20)
    assert storage.moved_out("w", b"z" * 20) == first
    assert storage.moved_out("w", first) == first
    assert storage.moved_out("w", b"z" * 10) == b"z" * 10
    assert len(files(tmp_path)) == 1


def test_a_process_without_the_storage_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(PayloadMissing, match="payload_storage"):
        PayloadStorage("", 10).fetched(reference("w/abc"))
    with pytest.raises(SettingsInvalid, match="neither file"):
        PayloadStorage("ftp://x", 10)
    (tmp_path / "blocked").write_text("a file")
    with pytest.raises(PayloadUnavailable, match="cannot be written"):
        PayloadStorage(f"file://{tmp_path}/blocked", 10).moved_out("w", b"z" * 20)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket on an S3 server of this process."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="payloads")
    yield "payloads"
    server.stop()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_s3_keeps_fetches_and_removes_payloads(environment: MakeEnvironment, bucket: str) -> None:
    got.clear()
    url = f"s3://{bucket}/orc"
    settings = Settings(partitions=1, payload_storage=url, payload_threshold_bytes=1_000)
    with environment([make, take], settings=settings) as env:
        flow = Workflow("flow").then(make, size=4_000).then(take, text="${make.output.text}")
        handle = env.client.start_workflow(flow, text=LARGE)
        assert handle.result() == {"length": 4_012}
        listed = boto3.client("s3").list_objects_v2(Bucket=bucket)["Contents"]
        assert {item["Key"].split("/")[1] for item in listed} == {handle.id}
        asked(env, workflows.remove, handle.id)
        assert boto3.client("s3").list_objects_v2(Bucket=bucket).get("Contents", []) == []
    with pytest.raises(PayloadMissing):
        PayloadStorage(url, 10).fetched(reference("w/nothing"))
    with pytest.raises(PayloadUnavailable, match="does not answer"):
        PayloadStorage("s3://nobody", 10).moved_out("w", b"z" * 20)
