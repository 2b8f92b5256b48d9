"""An installation as files for Docker Compose: one host, one with a primary that may die, and what observes either."""

from __future__ import annotations

from typing import Any

from orchestrator_cli.deployment.installation import GRACE_S, USER_ID, Installation, Role
from orchestrator_cli.deployment.yamls import written

Service = dict[str, Any]

REDIS = "redis:7.4-alpine"
REDIS_USER = "999:1000"
PROMETHEUS, GRAFANA = "prom/prometheus:v3.5.0", "grafana/grafana:12.1.0"
NGINX = "nginxinc/nginx-unprivileged:1.29-alpine"

_NODES = [f"redis-{number}" for number in (1, 2, 3)]
_SENTINELS = [f"sentinel-{number}" for number in (1, 2, 3)]

_HEADER = """# {told}
# Rendered by `orchestrator deploy render compose`. Passwords come from the file .env beside this one; see env.example.
"""
_PASSWORD = "${REDIS_PASSWORD:?put it into the file .env}"
_ONE = f"redis://orchestrator:{_PASSWORD}@redis:6379/0"


def compose(installation: Installation) -> dict[str, str]:
    """Path -> text of the files."""
    single = {"name": "orchestrator", "services": _single(installation), "volumes": {"redis": {}}}
    highly = {
        "name": "orchestrator-ha",
        "services": _ha(installation),
        "volumes": {name: {} for name in (*_NODES, *_SENTINELS)},
    }
    observed = {"services": _observers(), "volumes": {"prometheus": {}, "grafana": {}}}
    told = {
        "compose.yaml": ("Everything on one host: docker compose up -d", single),
        "compose.ha.yaml": (
            "A primary with two replicas behind three Sentinels, two of every role:\n"
            "# docker compose -f compose.ha.yaml up -d\n"
            "# Servers that others can reach want a key first: docker compose -f compose.ha.yaml run --rm decider \\\n"
            "#   key create ops --role admin\n"
            "# Redis and Sentinels keep their configuration beside their data: change it by CONFIG SET and CONFIG REWRITE.",
            highly,
        ),
        "compose.observability.yaml": (
            "Prometheus with our rules and Grafana with our dashboards, beside either of the others:\n"
            "# docker compose -f compose.yaml -f compose.observability.yaml up -d",
            observed,
        ),
    }
    found = {f"compose/{name}": _HEADER.format(told=one) + written(document) for name, (one, document) in told.items()}
    found["compose/env.example"] = _ENVIRONMENT
    return found


_ENVIRONMENT = """# Copy to .env and replace every value: openssl rand -hex 24
REDIS_PASSWORD=
GRAFANA_PASSWORD=
"""


def _single(installation: Installation) -> dict[str, Service]:
    services: dict[str, Service] = {"redis": _redis()}
    for role in installation.roles:
        service = _role(installation, role, _ONE)
        service["depends_on"] = {"redis": {"condition": "service_healthy"}}
        if role.name == "server":
            # Nobody but this host reaches it, so it may be open until there are keys.
            service["command"].append("--open")
            service["ports"] = ["127.0.0.1:8080:8080"]
        services[role.name] = service
    return services


def _ha(installation: Installation) -> dict[str, Service]:
    services = {node: _redis(node, primary=None if node == _NODES[0] else _NODES[0]) for node in _NODES}
    services |= {name: _sentinel(name, _NODES) for name in _SENTINELS}
    places = ",".join(f"{name}:26379" for name in _SENTINELS)
    url = f"redis+sentinel://orchestrator:{_PASSWORD}@{places}/orchestrator/0"
    for role in installation.roles:
        service = _role(installation, role, url)
        # An input counts as accepted when a replica has it too: a failover loses nothing that was acknowledged.
        service["environment"] |= {"ORCHESTRATOR_DURABILITY": "replicas", "ORCHESTRATOR_REPLICAS": "1"}
        service["depends_on"] = {name: {"condition": "service_healthy"} for name in (*_NODES, *_SENTINELS)}
        service["deploy"] |= {"replicas": role.replicas}
        services[role.name] = service
    services["proxy"] = {
        "image": NGINX,
        "read_only": True,
        "tmpfs": ["/tmp"],
        **_CONFINED,
        "volumes": [
            "../nginx/orchestrator.conf:/etc/nginx/orchestrator.conf:ro",
            "../nginx/compose.conf:/etc/nginx/conf.d/default.conf:ro",
        ],
        "ports": ["127.0.0.1:8080:8080"],
        "depends_on": {"server": {"condition": "service_healthy"}},
        "restart": "unless-stopped",
    }
    return services


_CONFINED: Service = {"cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}


def _role(installation: Installation, role: Role, url: str) -> Service:
    ask = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{role.port}/livez', timeout=4)"
    return {
        "image": installation.image,
        "command": role.command("0.0.0.0", str(role.port)),
        "environment": {"ORCHESTRATOR_REDIS_URL": url, "ORCHESTRATOR_LOG_FORMAT": "json"},
        "user": f"{USER_ID}:{USER_ID}",
        "read_only": True,
        "tmpfs": ["/tmp"],
        **_CONFINED,
        "healthcheck": {
            "test": ["CMD", "python", "-c", ask],
            "interval": "10s",
            "timeout": "5s",
            "retries": 3,
            "start_period": "20s",
        },
        "stop_grace_period": f"{GRACE_S}s",
        "restart": "unless-stopped",
        "deploy": {"resources": {"limits": {"memory": f"{2 * role.memory_mib}M"}}},
    }


def _redis(name: str = "redis", primary: str | None = None) -> Service:
    """A server; one of many keeps its configuration beside its data, because a Sentinel changes there whom it follows."""
    is_one_of_many = name != "redis"
    place = "/data/redis.conf" if is_one_of_many else "/run/redis/redis.conf"
    more = ["bind * -::*", "aclfile /run/redis/users.acl"]
    if is_one_of_many:
        more += [f"replica-announce-ip {name}", "min-replicas-to-write 1"]
    if primary is not None:
        more.append(f"replicaof {primary} 6379")
    lines = f"printf '{chr(92)}n%s' {' '.join(repr(line) for line in more)}"
    configured = f"{{ {_with_password('redis.conf')}; {lines}; }} > {place}"
    steps = [
        f"{_with_password('users.acl')} > /run/redis/users.acl",
        f"[ -f {place} ] || {configured}",
        f"exec redis-server {place}",
    ]
    return {
        "image": REDIS,
        "command": ["sh", "-euc", "; ".join(steps)],
        "environment": {"REDIS_PASSWORD": _PASSWORD},
        "user": REDIS_USER,
        "read_only": True,
        "tmpfs": ["/run/redis"],
        **_CONFINED,
        "volumes": [
            "../redis/redis.conf:/etc/redis/redis.conf:ro",
            "../redis/users.acl:/etc/redis/users.acl:ro",
            f"{name}:/data",
        ],
        "healthcheck": _ping("redis-cli --user operator"),
        # A snapshot at the end of a large database takes its time.
        "stop_grace_period": "2m",
        "restart": "unless-stopped",
    }


def _sentinel(name: str, nodes: list[str]) -> Service:
    """A Sentinel; what it has learnt of the others and of the primary it keeps in its file."""
    place = "/data/sentinel.conf"
    steps = [
        f"[ -f {place} ] || {_with_password('sentinel.conf')} | sed 's/HOST/{name}/' > {place}",
        f"exec redis-server {place} --sentinel",
    ]
    return {
        "image": REDIS,
        "command": ["sh", "-euc", "; ".join(steps)],
        "environment": {"REDIS_PASSWORD": _PASSWORD},
        "user": REDIS_USER,
        "read_only": True,
        **_CONFINED,
        "volumes": ["../redis/sentinel.conf:/etc/redis/sentinel.conf:ro", f"{name}:/data"],
        "healthcheck": _ping("redis-cli -p 26379"),
        "depends_on": {node: {"condition": "service_healthy"} for node in nodes},
        "restart": "unless-stopped",
    }


def _with_password(name: str) -> str:
    return f'sed "s/change-me/$$REDIS_PASSWORD/" /etc/redis/{name}'


def _ping(client: str) -> Service:
    return {
        "test": ["CMD-SHELL", f'REDISCLI_AUTH="$$REDIS_PASSWORD" {client} ping | grep -q PONG'],
        "interval": "5s",
        "timeout": "3s",
        "retries": 20,
    }


def _observers() -> dict[str, Service]:
    watched = {"restart": "unless-stopped", "read_only": True, **_CONFINED}
    return {
        "prometheus": {
            "image": PROMETHEUS,
            "command": ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"],
            "volumes": ["../prometheus:/etc/prometheus:ro", "prometheus:/prometheus"],
            "ports": ["127.0.0.1:9090:9090"],
            **watched,
        },
        "grafana": {
            "image": GRAFANA,
            "environment": {"GF_SECURITY_ADMIN_PASSWORD": "${GRAFANA_PASSWORD:?put it into the file .env}"},
            "volumes": [
                "../grafana/provisioning:/etc/grafana/provisioning:ro",
                "../grafana/dashboards:/var/lib/grafana/dashboards:ro",
                "grafana:/var/lib/grafana",
            ],
            "tmpfs": ["/tmp"],
            "ports": ["127.0.0.1:3000:3000"],
            **watched,
        },
    }
