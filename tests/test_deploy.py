"""The files in `deploy/`: right by the schemas of Compose and Kubernetes, and about servers that there are."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any

import click
import jsonschema
import kubernetes_validate
import pytest
import yaml

from everslide import version
from everslide.server.app import create_app
from everslide.server.cli import main
from everslide.server.settings import Settings, environment_of
from tests.server.stub import Studio, make_service

DEPLOY = Path(__file__).parent.parent / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
MANIFESTS = [*yaml.safe_load_all((DEPLOY / "kubernetes" / "everslide.yaml").read_text("utf-8"))]
DEPLOYMENTS = {each["metadata"]["name"]: each for each in MANIFESTS if each["kind"] == "Deployment"}
SERVICES = {each["metadata"]["name"]: each for each in MANIFESTS if each["kind"] == "Service"}
KUBERNETES = "1.31"


def containers() -> dict[str, dict[str, Any]]:
    return {name: each["spec"]["template"]["spec"]["containers"][0] for name, each in DEPLOYMENTS.items()}


def compose_schema() -> Any:
    vendored = resources.files("check_jsonschema.builtin_schemas") / "vendor" / "compose-spec.json"
    return json.loads(vendored.read_text("utf-8"))


def test_the_compose_file_is_one() -> None:
    jsonschema.validate(COMPOSE, compose_schema())


def test_a_slip_in_the_compose_file_would_be_seen() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(COMPOSE | {"services": {"server": {"imagee": "everslide"}}}, compose_schema())


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda each: f"{each['kind']} {each['metadata']['name']}")
def test_manifests_are_what_kubernetes_takes(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_a_slip_in_a_manifest_would_be_seen() -> None:
    wrong = json.loads(json.dumps(DEPLOYMENTS["server"]))
    wrong["spec"]["template"]["spec"]["containers"][0]["imagee"] = "everslide"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_both_run_the_same_parts_with_the_same_commands() -> None:
    assert set(COMPOSE["services"]) == set(DEPLOYMENTS) == {"redis", "scheduler", "worker", "server"}
    for name, container in containers().items():
        service = COMPOSE["services"][name]
        assert service["image"] == container["image"] and re.search(r":\d", service["image"])
        command = container.get("command") or ["redis-server", *container["args"]]
        assert command == service["command"]
    assert COMPOSE["services"]["server"]["image"] == f"everslide:{version()}"


@pytest.mark.parametrize("name", ["worker", "server"])
def test_commands_have_flags_that_everslide_knows(name: str) -> None:
    program, command, *arguments = COMPOSE["services"][name]["command"]
    assert program == "everslide"
    known = main.get_command(click.Context(main), command)
    assert known is not None
    known.make_context(command, arguments)  # raises for a flag that it does not know


def test_variables_are_settings() -> None:
    known = {environment_of(each.name) for each in fields(Settings)}
    used = {match for path in DEPLOY.rglob("*") if path.is_file() for match in variables(path.read_text("utf-8"))}
    assert {"EVERSLIDE_TOKEN", "EVERSLIDE_DATA", "EVERSLIDE_HOST"} <= used <= known


def variables(text: str) -> list[str]:
    return re.findall(r"EVERSLIDE_[A-Z_]+", text)


@pytest.mark.parametrize("name", ["worker", "server"])
def test_addresses_are_those_of_services(name: str) -> None:
    for host, port in re.findall(r"//([a-z]+):(\d+)", " ".join(COMPOSE["services"][name]["command"])):
        assert host in COMPOSE["services"]
        assert SERVICES[host]["spec"]["ports"] == [{"port": int(port)}]
        assert containers()[host]["ports"] == [{"containerPort": int(port)}]


def test_services_choose_pods_that_there_are() -> None:
    for name, service in SERVICES.items():
        labels = DEPLOYMENTS[name]["spec"]["template"]["metadata"]["labels"]
        assert service["spec"]["selector"].items() <= labels.items()
        assert DEPLOYMENTS[name]["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_probes_ask_for_what_the_server_answers() -> None:
    client = create_app(make_service(Studio()), Path()).test_client()
    server = containers()["server"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert client.get(server[probe]["httpGet"]["path"]).status_code == 200
    assert "/readyz" in COMPOSE["services"]["server"]["healthcheck"]["test"][-1]


def test_the_image_is_built_of_files_that_there_are() -> None:
    lines = (DEPLOY / "Dockerfile").read_text("utf-8").splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    sources = {source for part in copied for source in part}
    assert {"pyproject.toml", "constraints.txt", "viewer", "model"} <= sources
    for source in sources:
        assert (DEPLOY.parent / source).exists(), source
