"""An installation as systemd units, and as a Procfile: processes on hosts, without containers."""

from __future__ import annotations

from orchestrator_cli.deployment.installation import GRACE_S, STARTUP_S, WATCHDOG_S, Installation, Role

# What the manager keeps a role from. Processes are started for scripts and tasks, so new namespaces and executables
# written at run time are all that none of them needs.
_HARDENING = """
# It reads its settings, speaks to Redis and to whatever tasks speak to, and writes nothing.
DynamicUser=yes
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
CapabilityBoundingSet=
UMask=0077
"""

_UNIT = """# {title}. Rendered by `orchestrator deploy render systemd`.
[Unit]
Description=Orchestrator {title}{instance}
Documentation=https://pypi.org/project/redis-orchestrator/
After=network-online.target redis-server.service valkey-server.service
Wants=network-online.target
PartOf=orchestrator.target
# A Redis that is away for long is waited for: there is no number of attempts after which to give up.
StartLimitIntervalSec=0

[Service]
# It says itself when it is ready and, every {half_s} s, that its loop goes on; one that is stuck is killed and started anew.
Type=notify
NotifyAccess=main
WatchdogSec={watchdog_s}
TimeoutStartSec={startup_s}
# Longer than ORCHESTRATOR_DRAIN_TIMEOUT_S, so that running tasks can end.
TimeoutStopSec={grace_s}
# Children are told by their parent.
KillMode=mixed
Restart=always
RestartSec=2
EnvironmentFile={environment}
ExecStart={command}
LimitNOFILE=65536
MemoryHigh={memory_mib}M
MemoryMax={memory_max_mib}M
{hardening}
[Install]
WantedBy=orchestrator.target
"""

_ENVIRONMENT = """# The settings of all roles on this host. A secret may be in a file of its own, whose path is in NAME_FILE.
# Readable for root alone:
# install -m 600 orchestrator.env /etc/orchestrator/
ORCHESTRATOR_REDIS_URL=redis://orchestrator:change-me@127.0.0.1:6379/0
ORCHESTRATOR_LOG_FORMAT=json
ORCHESTRATOR_DRAIN_TIMEOUT_S=20
# Where executions move that have ended: a database that all hosts reach, for more than one host
#ORCHESTRATOR_ARCHIVE_URL=postgresql://orchestrator@db/orchestrator
# The HTTP API: behind a proxy on the same host
SERVER_HOST=127.0.0.1
SERVER_PORT=8080
"""

_WORKER_ENVIRONMENT = """# The workers {name}: orchestrator-worker@{name}.service
MODULES={modules}
CONCURRENCY={concurrency}
METRICS_PORT={port}
# Where the modules are
PYTHONPATH=/srv/{name}
"""

_TARGET = """# All roles of this host, to start, stop and restart together. Rendered by `orchestrator deploy render systemd`.
[Unit]
Description=Orchestrator
Wants={wants}

[Install]
WantedBy=multi-user.target
"""


def systemd(installation: Installation) -> dict[str, str]:
    """Path -> text of the units, their target and their environment.

    A decider or system-task process is named by the port of its metrics (``orchestrator-decider@9101``), so that a host may
    have several; a kind of worker by its name.
    """
    found = {"systemd/orchestrator.env": _ENVIRONMENT}
    wants = []
    for role in installation.roles:
        if role.name.startswith("worker-"):
            name = role.name.removeprefix("worker-")
            *modules, _, concurrency = role.arguments[1:]
            told = {"name": name, "modules": " ".join(modules), "concurrency": concurrency, "port": role.port}
            found[f"systemd/worker-{name}.env"] = _WORKER_ENVIRONMENT.format(**told)
            found["systemd/orchestrator-worker@.service"] = _worker_unit(installation, role)
            wants.append(f"orchestrator-worker@{name}.service")
        elif role.name == "server":
            command = " ".join([installation.program, *role.command("${SERVER_HOST}", "${SERVER_PORT}")])
            found["systemd/orchestrator-server.service"] = _unit(role, command, role.title)
            wants.append("orchestrator-server.service")
        else:
            command = " ".join([installation.program, *role.command("127.0.0.1", "%i")])
            found[f"systemd/orchestrator-{role.name}@.service"] = _unit(role, command, role.title, " at port %i")
            wants.append(f"orchestrator-{role.name}@{role.port}.service")
    found["systemd/orchestrator.target"] = _TARGET.format(wants=" ".join(wants))
    return found


def _worker_unit(installation: Installation, role: Role) -> str:
    arguments = "worker $MODULES --concurrency ${CONCURRENCY} --metrics-host 127.0.0.1 --metrics-port ${METRICS_PORT}"
    environment = "/etc/orchestrator/orchestrator.env\nEnvironmentFile=/etc/orchestrator/worker-%i.env"
    return _unit(role, f"{installation.program} {arguments}", "worker", " %i", environment)


def _unit(
    role: Role,
    command: str,
    title: str,
    instance: str = "",
    environment: str = "/etc/orchestrator/orchestrator.env",
) -> str:
    return _UNIT.format(
        title=title,
        instance=instance,
        command=command,
        environment=environment,
        half_s=WATCHDOG_S // 2,
        watchdog_s=WATCHDOG_S,
        startup_s=STARTUP_S,
        grace_s=GRACE_S,
        memory_mib=role.memory_mib,
        memory_max_mib=2 * role.memory_mib,
        hardening=_HARDENING.strip("\n") + "\n",
    )


def procfile(installation: Installation) -> dict[str, str]:
    """The Procfile: a line for each role. ``PORT`` is given by whoever reads such files, ``ORCHESTRATOR_REDIS_URL`` by you."""
    lines = []
    for role in installation.roles:
        is_server = role.name == "server"
        command = role.command("${HOST:-127.0.0.1}", "${PORT:-8080}") if is_server else role.arguments
        process = role.name.replace("-", "_")
        lines.append(f"{process}: exec orchestrator {' '.join(command)}")
    return {"Procfile": "\n".join(lines) + "\n"}
