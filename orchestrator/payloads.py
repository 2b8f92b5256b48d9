"""Payloads outside Redis: what is larger than a threshold is kept in a folder or in S3, and a reference in its place.

A payload's name is its workflow and the hash of its content, so writing one again changes nothing, and all of a workflow
can be removed together. A reference is a MessagePack value that no user payload can be: it cannot be forged by data.
Called by whoever writes large payloads (clients, workers, deciders) or needs to see them; it knows no workflow.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, Protocol

import msgpack

from orchestrator.errors import MissingExtra, PayloadMissing, PayloadUnavailable, SettingsInvalid

_CODE = 0x65
_MARKS = (0xC7, 0xC8)  # a MessagePack extension of 8 or 16 bits length: what a reference begins with
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


def reference(path: str) -> bytes:
    """What stands in the place of the payload that is kept under ``path``."""
    packed: bytes = msgpack.packb(msgpack.ExtType(_CODE, f"orchestrator:{path}".encode()))
    return packed


def path_in(data: bytes | memoryview) -> str | None:
    """Where a payload is kept if these bytes are a reference. Example: ``path_in(reference("a/b")) == "a/b"``"""
    if len(data) < 4 or data[0] not in _MARKS:
        return None
    value = msgpack.unpackb(data)
    return value.data.decode().removeprefix("orchestrator:") if value.code == _CODE else None


class Storage(Protocol):
    """A place for payloads. Errors: ``PayloadMissing`` for one that is not there, ``PayloadUnavailable`` otherwise."""

    def write(self, path: str, data: bytes) -> None:
        """Keep a payload; the same one again changes nothing."""

    def read(self, path: str) -> bytes:
        """A kept payload."""

    def remove(self, folder: str) -> None:
        """Forget all payloads below a folder; none is no error."""


class PayloadStorage:
    """The storage of one installation, or none: then every payload stays where it is.

    Example: ``PayloadStorage("file:///var/lib/orchestrator", 100_000).moved_out("w-1", packed)``
    """

    def __init__(self, url: str, threshold_bytes: int) -> None:
        self._storage = _storage(url) if url else None
        self._threshold_bytes = threshold_bytes

    @property
    def is_used(self) -> bool:
        """Whether any payload is kept elsewhere."""
        return self._storage is not None

    def moved_out(self, workflow_id: str, data: bytes) -> bytes:
        """The payload, or a reference to where it is now when it is too large to stay.

        A reference to another workflow's payload becomes one to a copy, since that workflow may be removed.
        """
        if self._storage is None:
            return data
        folder = _folder(workflow_id)
        foreign = path_in(data)
        if foreign is not None:
            if foreign.startswith(f"{folder}/"):
                return data
            data = self._storage.read(foreign)
        elif len(data) <= self._threshold_bytes:
            return data
        path = f"{folder}/{hashlib.sha256(data).hexdigest()}"
        self._storage.write(path, data)
        return reference(path)

    def fetched(self, data: bytes) -> bytes:
        """The payload itself, from wherever it is. Raises ``PayloadMissing``, ``PayloadUnavailable``."""
        path = path_in(data)
        return data if path is None else self.read(path)

    def read(self, path: str) -> bytes:
        """The payload kept under a path. Raises ``PayloadMissing``, ``PayloadUnavailable``."""
        if self._storage is None:
            raise PayloadMissing(
                f"payload {path} is kept outside Redis and this process has no payload_storage: give it the setting of "
                "the others"
            )
        return self._storage.read(path)

    def write(self, path: str, data: bytes) -> None:
        """Keep a payload that belongs to no workflow yet. Raises ``PayloadUnavailable``."""
        if self._storage is None:
            raise PayloadUnavailable(f"payload {path} cannot be kept: this process has no payload_storage")
        self._storage.write(path, data)

    def forget(self, folder: str) -> None:
        """Forget all payloads of a folder that is no workflow's."""
        if self._storage is not None:
            self._storage.remove(folder)

    def remove(self, workflow_id: str) -> None:
        """Forget all payloads of a workflow."""
        if self._storage is not None:
            self._storage.remove(_folder(workflow_id))


def _folder(workflow_id: str) -> str:
    """A name that no file system minds and that no two workflows share."""
    safe = _UNSAFE.sub("_", workflow_id)
    if safe == workflow_id and not safe.startswith("."):
        return safe
    return f"{safe.lstrip('.')}-{hashlib.sha256(workflow_id.encode()).hexdigest()[:12]}"


def _storage(url: str) -> Storage:
    scheme, _, rest = url.partition("://")
    if scheme == "file" and rest.startswith("/"):
        return Folder(Path(rest))
    if scheme == "s3" and rest:
        bucket, _, prefix = rest.partition("/")
        return Bucket(bucket, prefix.strip("/"))
    raise SettingsInvalid(f"payload_storage: {url!r} is neither file:///a/folder nor s3://bucket/prefix")


class Folder:
    """Payloads as files, in a folder that all hosts share (or on the only host)."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def write(self, path: str, data: bytes) -> None:
        """Written beside and renamed, so that a file is whole or not there."""
        target = self._root / path
        try:
            if target.exists():
                return
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=target.parent)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, target)
        except OSError as error:
            raise PayloadUnavailable(f"payload {path} cannot be written to {self._root}: {error.strerror}") from error

    def read(self, path: str) -> bytes:
        """The content of the file."""
        try:
            return (self._root / path).read_bytes()
        except FileNotFoundError:
            raise PayloadMissing(f"payload {path} is not in {self._root}") from None
        except OSError as error:
            raise PayloadUnavailable(f"payload {path} cannot be read from {self._root}: {error.strerror}") from error

    def remove(self, folder: str) -> None:
        """Remove a workflow's folder."""
        shutil.rmtree(self._root / folder, ignore_errors=True)


class Bucket:
    """Payloads as objects of an S3 bucket; where it is and who may use it is boto3's own configuration."""

    def __init__(self, bucket: str, prefix: str) -> None:
        try:
            import boto3
        except ImportError:
            raise MissingExtra("payloads in S3", "s3") from None
        self._client: Any = boto3.client("s3")
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    def write(self, path: str, data: bytes) -> None:
        """One PUT; the same object again is the same object."""
        self._call("put_object", Key=self._prefix + path, Body=data)

    def read(self, path: str) -> bytes:
        """One GET."""
        try:
            found: bytes = self._call("get_object", Key=self._prefix + path)["Body"].read()
        except self._client.exceptions.NoSuchKey:
            raise PayloadMissing(f"payload {path} is not in bucket {self._bucket}") from None
        return found

    def remove(self, folder: str) -> None:
        """List and delete, a thousand at a time."""
        while True:
            listed = self._call("list_objects_v2", Prefix=f"{self._prefix}{folder}/").get("Contents", [])
            if not listed:
                return
            self._call("delete_objects", Delete={"Objects": [{"Key": item["Key"]} for item in listed], "Quiet": True})

    def _call(self, name: str, **arguments: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(self._client, name)(Bucket=self._bucket, **arguments)
        except self._client.exceptions.NoSuchKey:
            raise
        except (BotoCoreError, ClientError) as error:
            raise PayloadUnavailable(f"bucket {self._bucket} does not answer: {error}") from error
