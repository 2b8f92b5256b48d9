"""A real Kafka broker of one's own, from Maven's artifacts on a Java that is there: start it, use it, and it is gone.

The artifacts are fetched by ``mvn`` into its own cache the first time (about fifty files) and found there afterwards.
Where Java or Maven is missing, or the artifacts cannot be had, ``BrokerMissing`` says so.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.eventually import eventually

VERSION = "3.9.1"
FETCH_TIMEOUT_S = 200
START_TIMEOUT_S = 40.0
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>tests</groupId><artifactId>broker</artifactId><version>1</version>
<dependencies><dependency>
<groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
</dependency></dependencies></project>
"""
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


class BrokerMissing(LookupError):
    """There is no broker to be had here; the message says why."""


class KafkaServer:
    """One broker, one partition a topic, topics made when first used. Example: ``with KafkaServer() as broker: ...``"""

    def __init__(self) -> None:
        if shutil.which("java") is None or shutil.which("mvn") is None:
            raise BrokerMissing("a broker needs java and mvn; install them with: apt-get install default-jre maven")
        self._folder = tempfile.TemporaryDirectory(prefix="kafka-")
        self._path = Path(self._folder.name)
        self._classes = self._fetched()
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

    def _fetched(self) -> str:
        """The class path of the broker."""
        (self._path / "pom.xml").write_text(POM, encoding="utf-8")
        found = self._path / "classes.txt"
        goal = ["mvn", "-q", "-B", "dependency:build-classpath", f"-Dmdep.outputFile={found}"]
        for words in ([*goal, "-o"], goal):  # what is in the cache needs no network
            try:
                subprocess.run(words, cwd=self._path, check=True, capture_output=True, timeout=FETCH_TIMEOUT_S)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
                continue
            return found.read_text(encoding="utf-8").strip()
        raise BrokerMissing(f"org.apache.kafka:kafka_2.13:{VERSION} cannot be fetched with mvn")

    def _listens(self) -> bool:
        assert self._process.poll() is None, (self._path / "broker.log").read_text(errors="replace")[-2_000:]
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]
