"""What operators are given is well formed, names settings that there are, and agrees with itself."""

from __future__ import annotations

import configparser
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import redis
import yaml

from router.settings import PREFIX, Settings
from tests.conftest import ROOT
from tests.processes import served
from tests.services import Service, free_port, program

DEPLOY = ROOT / "deploy"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text("utf-8")
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
FILES = [
    path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
]
BOOKS_S = 10
"""What closing the books may take, beside the streams."""


def of(kind):
    [found] = [m for path in MANIFESTS if (m := loaded(path))["kind"] == kind]
    return found


def loaded(path):
    return yaml.safe_load(path.read_text("utf-8"))


COMPOSE = loaded(DEPLOY / "compose.yaml")
POD = of("Deployment")["spec"]["template"]["spec"]
[CONTAINER] = POD["containers"]


def instructions(name):
    """Return what an instruction is given, wherever it stands in the image's definition."""
    text = CONTAINERFILE.replace("\\\n", " ")
    return re.findall(rf"^{name}\s+(.*)$", text, re.MULTILINE)


def default(name):
    """Return a setting in the image, where it stands, else the gateway's own."""
    said = dict(re.findall(rf"{PREFIX}(\w+)=(\S+)", " ".join(instructions("ENV"))))
    return said.get(name.upper(), Settings.model_fields[name].default)


def test_the_compose_file_is_one():
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*checker, DEPLOY / "compose.yaml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_is_what_the_api_takes(path):
    manifest = loaded(path)
    if path.stem != "kustomization":
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_the_kustomization_names_every_manifest():
    kustomization = loaded(DEPLOY / "kubernetes" / "kustomization.yaml")
    others = {path.name for path in MANIFESTS} - {"kustomization.yaml"}
    assert set(kustomization["resources"]) == others


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl, which is not installed")
def test_kustomize_builds_them():
    built = subprocess.run(
        ["kubectl", "kustomize", DEPLOY / "kubernetes"], capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    found = {manifest["kind"]: manifest for manifest in yaml.safe_load_all(built.stdout)}
    [container] = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example/auto-efficient:latest"
    assert not any("namespace" in manifest["metadata"] for manifest in found.values())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_setting_that_is_named_is_one(path):
    named = set(re.findall(rf"\b{PREFIX}([A-Z_]+)\b", path.read_text("utf-8")))
    assert {name.lower() for name in named} <= Settings.model_fields.keys() | {"config"}


def test_the_configuration_of_the_cluster_is_accepted(tmp_path):
    path = tmp_path / "auto-efficient.toml"
    data = of("ConfigMap")["data"]
    path.write_text(data["auto-efficient.toml"], "utf-8")
    Settings.load(environ={}, config=path)
    mounted = next(m for m in CONTAINER["volumeMounts"] if m["name"] == "config")["mountPath"]
    told = {entry["name"]: entry["value"] for entry in CONTAINER["env"]}
    assert told[f"{PREFIX}CONFIG"] == f"{mounted}/auto-efficient.toml"


def test_what_stands_in_the_secret_is_accepted():
    Settings.load(environ=of("Secret")["stringData"], overrides={"state_dir": "/data"})


def test_the_image_is_built_of_what_is_locked():
    for arguments in re.findall(r"bin/pip install (.*?)(?:&&|$)", " ".join(instructions("RUN"))):
        assert "--require-hashes" in arguments or "--no-index" in arguments
        for lock in re.findall(r"requirements/\S+", arguments):
            assert (ROOT / lock).is_file()
    [base] = instructions("ARG")
    assert re.fullmatch(r"PYTHON=python:3\.\d+-slim", base)
    assert all(stage.startswith("${PYTHON}") for stage in instructions("FROM"))
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    wheel = pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]
    for needed in (*wheel["only-include"], "requirements", "pyproject.toml", "README.md"):
        assert f"!{needed}" in ignored


def test_the_image_is_nobodys_and_writes_where_it_may():
    [user] = instructions("USER")
    uid, _, gid = user.partition(":")
    context = POD["securityContext"]
    assert int(uid) == context["runAsUser"] > 0
    assert int(gid) == context["runAsGroup"] == context["fsGroup"]
    assert instructions("VOLUME") == [default("state_dir")] == ["/data"]
    assert {"/data", "/tmp"} <= {mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    gateway = COMPOSE["services"]["gateway"]
    assert gateway["read_only"] is CONTAINER["securityContext"]["readOnlyRootFilesystem"] is True
    assert "gateway:/data" in gateway["volumes"]
    assert gateway["tmpfs"] == ["/tmp"]


def test_one_port_is_meant_everywhere():
    [port] = instructions("EXPOSE")
    assert str(default("port")) == port
    assert f"HTTPConnection('127.0.0.1', {port}," in CONTAINERFILE
    assert [p["containerPort"] for p in CONTAINER["ports"]] == [int(port)]
    policy = of("NetworkPolicy")["spec"]["ingress"]
    assert [p["port"] for rule in policy for p in rule["ports"]] == [int(port)]
    assert COMPOSE["services"]["gateway"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    [job] = loaded(DEPLOY / "prometheus.yml")["scrape_configs"]
    [target] = job["dns_sd_configs"]
    assert (target["names"], target["port"]) == (["gateway"], int(port))


def test_no_address_of_a_service_is_taken_for_a_setting():
    service = of("Service")["metadata"]["name"].upper().replace("-", "_")
    assert not f"{service}_PORT".startswith(PREFIX) or POD["enableServiceLinks"] is False


def test_one_name_is_meant_by_those_who_select():
    [labels] = {tuple(labels.items()) for labels in selected()}
    assert dict(labels) == of("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert of("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == "auto-efficient"
    assert CONTAINER["envFrom"] == [{"secretRef": {"name": of("Secret")["metadata"]["name"]}}]
    [rule] = of("Ingress")["spec"]["rules"]
    [path] = rule["http"]["paths"]
    assert path["backend"]["service"]["name"] == of("Service")["metadata"]["name"]


def selected():
    yield of("Deployment")["spec"]["selector"]["matchLabels"]
    yield of("Service")["spec"]["selector"]
    yield of("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    yield of("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]


def test_whoever_ends_a_gateway_waits_until_it_has_ended():
    data = tomllib.loads(of("ConfigMap")["data"]["auto-efficient.toml"])
    told = {entry["name"]: entry["value"] for entry in CONTAINER["env"]}
    delay_s = float(told[f"{PREFIX}SHUTDOWN_DELAY_S"])
    ready = CONTAINER["readinessProbe"]
    assert delay_s > ready["periodSeconds"] * ready["failureThreshold"]
    assert POD["terminationGracePeriodSeconds"] >= delay_s + data["shutdown_s"] + BOOKS_S
    own_s = float(default("shutdown_delay_s")) + default("shutdown_s") + BOOKS_S
    assert int(COMPOSE["services"]["gateway"]["stop_grace_period"].rstrip("s")) >= own_s
    [stop_s] = unit()["Service"]["TimeoutStopSec"]
    assert int(stop_s) >= default("shutdown_s") + BOOKS_S


def test_probes_ask_what_there_is():
    assert CONTAINER["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert CONTAINER["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert instructions("STOPSIGNAL") == ["SIGTERM"]


def test_the_image_is_well_behind_a_proxy_while_its_gateway_answers():
    [said] = instructions("HEALTHCHECK")
    _, *command = json.loads(said.partition("CMD")[2])
    proxied = os.environ | {"http_proxy": "http://127.0.0.1:9", "no_proxy": ""}

    def asked(port):
        here = [sys.executable, *(word.replace("4000", str(port)) for word in command)]
        return subprocess.run(here, env=proxied, capture_output=True).returncode

    with served() as gateway:
        assert asked(urlsplit(gateway.url).port) == 0
    assert asked(free_port()) != 0


def test_services_that_are_waited_for_can_say_that_they_are_well():
    services = COMPOSE["services"]
    awaited = {n for s in services.values() for n in s.get("depends_on", {})}
    assert awaited == {"postgres", "valkey", "gateway"}
    for name in awaited - {"gateway"}:
        assert "healthcheck" in services[name]
    assert instructions("HEALTHCHECK")
    named = set(re.findall(r"\$\{(\w+):\?", (DEPLOY / "compose.yaml").read_text("utf-8")))
    example = (DEPLOY / "example.env").read_text("utf-8")
    assert named == set(re.findall(r"^(\w+)=.", example, re.MULTILINE))


def unit():
    """Return the sections of the service; a name may stand in one several times."""
    parsed = configparser.RawConfigParser(strict=False)
    parsed.optionxform = str
    parsed.read(DEPLOY / "systemd" / "auto-efficient.service", "utf-8")
    return {
        name: {k: v.splitlines() for k, v in parsed[name].items()} for name in parsed.sections()
    }


def test_the_service_keeps_its_state_where_it_may():
    service = unit()["Service"]
    text = (DEPLOY / "systemd" / "auto-efficient.service").read_text("utf-8")
    assert f"{PREFIX}STATE_DIR=/var/lib/{service['StateDirectory'][0]}" in text
    assert "auto-efficient serve" in service["ExecStart"][0]


def test_a_real_server_takes_the_stores_configuration(tmp_path):
    command, port = program("redis-server"), free_port()
    own = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path)]
    url = f"redis://127.0.0.1:{port}/0"
    with redis.Redis.from_url(url) as client:

        def answers():
            with contextlib.suppress(redis.RedisError):
                return bool(client.ping())

        service = Service(
            [command, str(DEPLOY / "valkey.conf"), *own], tmp_path, port, url, "", answers
        )
        service.start()
        try:
            for name, value in (("maxmemory-policy", "noeviction"), ("appendonly", "yes")):
                assert client.config_get(name) == {name: value}
        finally:
            service.stop()
