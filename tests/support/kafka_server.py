"""A real Kafka broker of one's own, from Maven's artifacts on a Java that is there: start it, use it, and it is gone.

Where Java, Maven or the artifacts (about fifty files) cannot be had, ``maven.JavaMissing`` says so.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.eventually import eventually
from tests.support.maven import class_path

VERSION = "3.9.1"
START_TIMEOUT_S = 40.0
PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/log
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
"""


class KafkaServer:
    """One broker, one partition a topic, topics made when first used. Example: ``with KafkaServer() as broker: ...``"""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="kafka-")
        self._path = Path(self._folder.name)
        self._classes = class_path(f"org.apache.kafka:kafka_2.13:{VERSION}", self._path)
        self._port, self._controller = _free_ports()

    @property
    def address(self) -> str:
        """For ``bootStrapServers``."""
        return f"127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        properties = self._path / "server.properties"
        properties.write_text(
            PROPERTIES.format(port=self._port, controller=self._controller, folder=self._path), encoding="utf-8"
        )
        java = ["java", "-Xmx256m", "-cp", self._classes]
        storage = ["kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", str(properties)]
        subprocess.run([*java, *storage], check=True, capture_output=True)
        self._log = (self._path / "broker.log").open("wb")
        self._process = subprocess.Popen([*java, "kafka.Kafka", str(properties)], stdout=self._log, stderr=self._log)
        eventually(self._listens, START_TIMEOUT_S)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()
        self._folder.cleanup()

    def _listens(self) -> bool:
        assert self._process.poll() is None, (self._path / "broker.log").read_text(errors="replace")[-2_000:]
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]
