"""An installation as plain Kubernetes objects. The Helm chart's templates give the same ones for its default values.

Redis is not among them: it is run by an operator of its own, managed by a provider, or on a host with redis.conf.
"""

from __future__ import annotations

from typing import Any

from orchestrator_cli.deployment.installation import GRACE_S, USER_ID, Installation, Role
from orchestrator_cli.deployment.yamls import written

Thing = dict[str, Any]

NAME = "orchestrator"
SECRETS = "/run/orchestrator"
STORE_PORTS = (6379, 26379, 5432)
"""Of Redis, Sentinels and the archive's PostgreSQL."""

KEDA = "kubernetes/optional/keda.yaml"
PROMETHEUS = "http://prometheus-operated.monitoring:9090"
SCRAPED = {"prometheus.io/scrape": "true", "prometheus.io/path": "/metrics"}

_HEADER = "# Rendered by `orchestrator deploy render {form}`.\n"
_PLAIN = _HEADER.format(form="k8s")


def kubernetes(installation: Installation) -> dict[str, str]:
    """Path -> text: a file for each role, what they share, and the Secret to be replaced."""
    found = {
        "secret.example.yaml": [_secret()],
        "shared.yaml": [_account(), _settings(), *_policies(installation)],
        **{f"{role.name}.yaml": things(installation, role) for role in installation.roles},
    }
    files = {f"kubernetes/{name}": _PLAIN + written(*documents) for name, documents in found.items()}
    listed = ["shared.yaml", *(f"{role.name}.yaml" for role in installation.roles)]
    kustomization = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": listed}
    files["kubernetes/kustomization.yaml"] = _PLAIN + written(kustomization)
    scaled = [_scaled(role) for role in installation.workers]
    files[KEDA] = _PLAIN + "# Needs KEDA, and a Prometheus that scrapes one server.\n" + written(*scaled)
    return files


def things(installation: Installation, role: Role) -> list[Thing]:
    """The objects of one role."""
    found = [_deployment(installation, role), _budget(role)]
    return [*found, _service(role)] if role.name == "server" else found


def _named(role: Role | None) -> dict[str, str]:
    names = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/instance": NAME}
    return names if role is None else {**names, "app.kubernetes.io/component": role.name}


def _thing(version: str, kind: str, role: Role | None, name: str, **fields: Any) -> Thing:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": _named(role)}, **fields}


def _full_name(role: Role) -> str:
    return f"{NAME}-{role.name}"


# --- what the roles share ---------------------------------------------------------------------------------------------


def _account() -> Thing:
    return _thing("v1", "ServiceAccount", None, NAME, automountServiceAccountToken=False)


def _secret() -> Thing:
    url = "redis://orchestrator:change-me@redis:6379/0"
    return _thing("v1", "Secret", None, NAME, type="Opaque", stringData={"redis-url": url})


def _settings() -> Thing:
    settings = {
        "ORCHESTRATOR_LOG_FORMAT": "json",
        "ORCHESTRATOR_NAMESPACE": "orc",
        "ORCHESTRATOR_REDIS_URL_FILE": f"{SECRETS}/redis-url",
    }
    return _thing("v1", "ConfigMap", None, NAME, data=settings)


def _policies(installation: Installation) -> list[Thing]:
    """Pods reach names and the stores; system tasks and workers everything, which is what they are for.

    The monitoring namespace reaches all of them, everybody in the cluster the servers.
    """
    names: Thing = {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
    stores: Thing = {"ports": [{"port": port, "protocol": "TCP"} for port in STORE_PORTS]}
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    everybody: Thing = {"namespaceSelector": {}}
    ours = [{"port": "metrics", "protocol": "TCP"}]
    return [
        _network_policy(NAME, [], ingress=[{"from": [monitoring], "ports": ours}], egress=[names, stores]),
        _network_policy(f"{NAME}-server", ["server"], ingress=[{"from": [everybody], "ports": ours}]),
        _network_policy(f"{NAME}-outward", ["system", *(role.name for role in installation.workers)], egress=[{}]),
    ]


def _network_policy(name: str, components: list[str], **rules: Any) -> Thing:
    chosen: Thing = {"matchLabels": _named(None)}
    if components:
        among = {"key": "app.kubernetes.io/component", "operator": "In", "values": components}
        chosen["matchExpressions"] = [among]
    spec = {"podSelector": chosen, "policyTypes": [kind.capitalize() for kind in rules], **rules}
    return _thing("networking.k8s.io/v1", "NetworkPolicy", None, name, spec=spec)


# --- what each role has ---------------------------------------------------------------------------------------------


def _deployment(installation: Installation, role: Role) -> Thing:
    selected = {"matchLabels": _named(role)}
    pod = {
        "metadata": {"labels": _named(role), "annotations": {**SCRAPED, "prometheus.io/port": str(role.port)}},
        "spec": {
            "serviceAccountName": NAME,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": GRACE_S + 5,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER_ID,
                "runAsGroup": USER_ID,
                "fsGroup": USER_ID,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": selected,
                }
            ],
            "containers": [_container(installation, role)],
            "volumes": [
                {"name": "secrets", "secret": {"secretName": NAME, "defaultMode": 0o440}},
                {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}},
            ],
        },
    }
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    spec = {"replicas": role.replicas, "strategy": strategy, "selector": selected, "template": pod}
    return _thing("apps/v1", "Deployment", role, _full_name(role), spec=spec)


def _container(installation: Installation, role: Role) -> Thing:
    return {
        "name": NAME,
        "image": installation.image,
        "imagePullPolicy": "IfNotPresent",
        "args": role.command("0.0.0.0", str(role.port)),
        "envFrom": [{"configMapRef": {"name": NAME}}],
        "ports": [{"name": "metrics", "containerPort": role.port, "protocol": "TCP"}],
        # Redis is not asked for /livez: a restart does not mend it.
        "startupProbe": _probe("/startupz", period_s=2, failures=30),
        "livenessProbe": _probe("/livez", period_s=10, failures=3),
        "readinessProbe": _probe("/readyz", period_s=5, failures=2),
        "resources": {
            "requests": {"cpu": f"{role.cpu_m}m", "memory": f"{role.memory_mib}Mi"},
            "limits": {"memory": f"{2 * role.memory_mib}Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "secrets", "mountPath": SECRETS, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }


def _probe(path: str, period_s: int, failures: int) -> Thing:
    return {
        "httpGet": {"path": path, "port": "metrics"},
        "periodSeconds": period_s,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _budget(role: Role) -> Thing:
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": _named(role)}}
    return _thing("policy/v1", "PodDisruptionBudget", role, _full_name(role), spec=spec)


def _service(role: Role) -> Thing:
    ports = [{"name": "http", "port": 80, "targetPort": "metrics", "protocol": "TCP"}]
    return _thing("v1", "Service", role, _full_name(role), spec={"selector": _named(role), "ports": ports})


def _scaled(role: Role) -> Thing:
    """As many workers as there is work for: what runs, and what no limit keeps back, over what one worker does at once."""
    concurrency = role.arguments[role.arguments.index("--concurrency") + 1]
    query = (
        'sum(orchestrator_task_admissible_backlog{task_type=~".+"}) + '
        'sum(orchestrator_task_queue_depth{task_type=~".+",state="running"})'
    )
    spec = {
        "scaleTargetRef": {"name": _full_name(role)},
        "minReplicaCount": 1,
        "maxReplicaCount": 20,
        "cooldownPeriod": 300,
        "triggers": [
            {
                "type": "prometheus",
                "metadata": {"serverAddress": PROMETHEUS, "query": query, "threshold": concurrency},
            }
        ],
    }
    return _thing("keda.sh/v1alpha1", "ScaledObject", role, _full_name(role), spec=spec)


def helm_values(installation: Installation) -> dict[str, str]:
    """Values for the chart that are this installation's."""
    repository, _, tag = installation.image.rpartition(":")
    workers = []
    for role in installation.workers:
        *modules, _, concurrency = role.arguments[1:]
        name = role.name.removeprefix("worker-")
        workers.append({"name": name, "modules": modules, "concurrency": int(concurrency), "replicas": role.replicas})
    values = {"image": {"repository": repository, "tag": tag}, "redis": {"existingSecret": NAME}, "workers": workers}
    header = "# helm install orchestrator ./orchestrator -f values.example.yaml\n"
    return {"helm/values.example.yaml": _HEADER.format(form="helm") + header + written(values)}
