"""Java libraries for tests, fetched by ``mvn`` into its own cache the first time and found there afterwards."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

FETCH_TIMEOUT_S = 200
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>tests</groupId><artifactId>fetched</artifactId><version>1</version>
<dependencies><dependency>
<groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>
</dependency></dependencies></project>
"""


class JavaMissing(LookupError):
    """Java, Maven or an artifact is not to be had here; the message says which."""


def class_path(coordinates: str, folder: Path) -> str:
    """The class path of ``group:artifact:version`` with all it needs; ``folder`` is for working files.

    Raises ``JavaMissing``. Example: ``class_path("org.apache.kafka:kafka_2.13:3.9.1", tmp_path)``
    """
    if shutil.which("java") is None or shutil.which("mvn") is None:
        raise JavaMissing("java and mvn are needed; install them with: apt-get install default-jdk-headless maven")
    group, artifact, version = coordinates.split(":")
    (folder / "pom.xml").write_text(POM.format(group=group, artifact=artifact, version=version), encoding="utf-8")
    found = folder / "classes.txt"
    goal = ["mvn", "-q", "-B", "dependency:build-classpath", f"-Dmdep.outputFile={found}"]
    for words in ([*goal, "-o"], goal):  # what is in the cache needs no network
        try:
            subprocess.run(words, cwd=folder, check=True, capture_output=True, timeout=FETCH_TIMEOUT_S)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            continue
        return found.read_text(encoding="utf-8").strip()
    raise JavaMissing(f"{coordinates} cannot be fetched with mvn")
