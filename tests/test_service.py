"""The reference service: a real process, a real client, and a model that is swapped under load."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline

from skhuihen import (
    BehaviorAbstractor,
    HUIHENClassifier,
    OnlineScorer,
    Sessionizer,
    attach_behaviors,
    read_manifest,
    save_model,
)
from skhuihen.datasets import make_loan_data

APP = Path(__file__).resolve().parents[1] / "examples" / "service" / "app.py"
NEEDED = ("fastapi", "uvicorn")
pytestmark = [
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in NEEDED),
        reason="FastAPI is not installed: pip install skhuihen[service]",
    ),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def X() -> tuple[pd.DataFrame, np.ndarray]:
    bank = make_loan_data(n_new=200, n_old=0, overdue_rate=0.4, random_state=0)
    return attach_behaviors(bank.applications, bank.events, lookback="30D"), np.asarray(bank.y)


@pytest.fixture(scope="module")
def models(X: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Write two models."""
    folder = tmp_path_factory.mktemp("models")
    for seed in (0, 1):
        model = make_pipeline(
            BehaviorAbstractor(n_behaviors=12),
            Sessionizer(),
            HUIHENClassifier(max_epochs=1, n_estimators=1, random_state=seed),
        )
        save_model(model.fit(*X), folder / f"{seed}.model", X[0])
    return [folder / "0.model", folder / "1.model"]


@pytest.fixture(scope="module")
def applications(X: Any) -> list[dict[str, Any]]:
    found = []
    for row in X[0][:20].to_dict("records"):
        events = row["behaviors"][["time", "operation", "item", "amount"]]
        row["behaviors"] = json.loads(events.to_json(orient="records", date_format="iso"))
        for event in row["behaviors"]:
            event["time"] = event["time"].removesuffix("Z")
        row["applied_at"] = row["applied_at"].isoformat()
        found.append({k: None if v != v else v for k, v in row.items()})
    return found


class Service:
    """A running service."""

    def __init__(self, path: Path, log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = log
        command = [sys.executable, str(APP), "--model", str(path), "--port", str(self.port)]
        with log.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        for _ in range(6000):  # a busy machine is no fault
            try:
                if self.ask("GET", "/health")[0] == 200:
                    return
            except OSError:
                assert self.process.poll() is None, log.read_text()
                time.sleep(0.1)
        raise AssertionError(log.read_text())

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(
        self, method: str, path: str, body: Any = None, at: http.client.HTTPConnection | None = None
    ) -> tuple[int, Any]:
        if at is None:
            with closing(self.connect()) as connection:
                return self.ask(method, path, body, connection)
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        at.request(method, path, content, {"Content-Type": "application/json"})
        response = at.getresponse()
        text = response.read()
        return response.status, json.loads(text)


@pytest.fixture
def service(models: list[Path], tmp_path: Path) -> Iterator[Service]:
    path = tmp_path / "risk.model"
    path.write_bytes(models[0].read_bytes())
    running = Service(path, tmp_path / "log")
    yield running
    running.process.kill()
    running.process.wait()


def test_answers_and_errors(
    service: Service,
    models: list[Path],
    applications: list[dict[str, Any]],
    request: pytest.FixtureRequest,
) -> None:
    scorer = OnlineScorer(models[0])
    status, found = service.ask("POST", "/score", applications[0])
    assert status == 200
    assert found == {
        "probability": scorer.probability(applications[0]),
        "label": "1",
        "warnings": [],
        "model": scorer.sha256_,
    }
    assert service.ask("GET", "/model") == (200, read_manifest(models[0]))
    assert service.ask("GET", "/health")[1]["model"] == scorer.sha256_

    request.addfinalizer((slow := service.connect()).close)
    slow.putrequest("POST", "/score")
    slow.putheader("Content-Length", "1000")
    slow.endheaders(b'{"secret":')
    one = applications[0]
    secret = 76_543_210_987.5
    status, found = service.ask("POST", "/score", one | {"user__monthly_income": secret})
    assert status == 200
    assert "outside the range" in found["warnings"][0]
    without = {k: v for k, v in one.items() if k != "user__age"}
    for body, code, field in [
        (without, 422, "user__age"),
        (one | {"nonsense": 1}, 422, "nonsense"),
        (one | {"applied_at": "yesterday"}, 422, "applied_at"),
        (one | {"behaviors": [{"operation": "login"}]}, 422, "behaviors.0.time"),
        (one | {"behaviors": [{"time": "x", "operation": "login"}]}, 422, "behaviors"),
        (one | {"user__age": "secret text"}, 422, "user__age"),
        (b"{", 422, "1"),
        (b"[" * 900_000, 400, ""),
        (b'{"secret": "\xff"}', 400, ""),
        (one | {"\ud800 secret": 1}, 422, ""),
        (one | {"user__age": 10**400}, 422, "user__age"),
        (b"[" * 2_000_000, 413, ""),
        (one | {"behaviors": [{"time": "x", "operation": None}] * 10_001}, 413, "behaviors"),
    ]:
        status, found = service.ask("POST", "/score", body)
        assert (status, found["errors"][0]["field"]) == (code, field), found
    events = [{"time": "2024-05-01T10:00:00", "operation": "\ud800 secret"}] * 3
    assert service.ask("POST", "/score", one | {"behaviors": events})[0] in (200, 422)
    assert service.ask("GET", "/secret") == (
        404,
        {"errors": [{"field": "", "message": "Not Found"}]},
    )
    assert slow.getresponse().status == 408
    with socket.create_connection(("127.0.0.1", service.port)) as raw:
        raw.sendall(b"secret\r\n\r\n")
        assert b" 400 " in raw.recv(1000)
    assert service.ask("GET", "/health")[0] == 200
    log = service.log.read_text()
    assert "secret" not in log
    assert str(int(secret)) not in log
    assert "Traceback" not in log
    assert "127.0.0.1" in log  # of loopback alone


def load(
    service: Service, applications: list[dict[str, Any]], n_threads: int, n_each: int, found: list
) -> list[threading.Thread]:
    """Ask from several threads, each over a connection of its own."""

    def ask(number: int) -> None:
        with closing(service.connect()) as connection:
            for i in range(n_each):
                at = (number + i) % len(applications)
                started = time.perf_counter()
                try:
                    status, answer = service.ask("POST", "/score", applications[at], connection)
                except (OSError, http.client.HTTPException) as error:
                    found.append((at, None, type(error).__name__, 0.0))
                    return
                found.append((at, status, answer, time.perf_counter() - started))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(n_threads)]
    for thread in threads:
        thread.start()
    return threads


def wait_for(condition: Any) -> None:
    for _ in range(12_000):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come")


def test_a_model_is_swapped_under_load(
    service: Service, models: list[Path], applications: list[dict[str, Any]], tmp_path: Path
) -> None:
    expected = {}
    for path in models:
        scorer = OnlineScorer(path)
        expected[scorer.sha256_] = [scorer.probability(a) for a in applications]
    found: list[Any] = []
    started = time.perf_counter()
    threads = load(service, applications, 4, 100, found)
    wait_for(lambda: len(found) > 50)
    new = tmp_path / "new.model"
    new.write_bytes(b"damaged")
    new.replace(tmp_path / "risk.model")
    os.kill(service.process.pid, signal.SIGHUP)  # changes nothing
    wait_for(lambda: "cannot be loaded" in service.log.read_text())
    new.write_bytes(models[1].read_bytes())
    new.replace(tmp_path / "risk.model")
    os.kill(service.process.pid, signal.SIGHUP)
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - started
    wait_for(
        lambda: service.ask("GET", "/health")[1]["model"] == read_manifest(models[1])["sha256"]
    )
    assert len(found) == 400  # nothing is lost
    assert {status for _, status, _, _ in found} == {200}
    for at, _, answer, _ in found:
        assert answer["probability"] == expected[answer["model"]][at]
    times = np.array([seconds for *_, seconds in found]) * 1e3
    print(
        f"\n{len(found) / elapsed:.0f} a second, p50 {np.median(times):.1f} ms, "
        f"p99 {np.quantile(times, 0.99):.1f} ms"
    )


def test_the_process_is_ended_in_the_middle(
    service: Service, models: list[Path], applications: list[dict[str, Any]]
) -> None:
    scorer = OnlineScorer(models[0])
    found: list[Any] = []
    threads = load(service, applications, 4, 100_000, found)
    wait_for(lambda: len(found) > 40)
    service.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    assert service.process.wait(60) in (0, -signal.SIGTERM)
    answered = [(at, answer) for at, status, answer, _ in found if status == 200]
    assert len(answered) == len(found) - sum(status is None for _, status, _, _ in found)
    for at, answer in answered:  # whole answers, or none and the client knows it
        assert answer["probability"] == scorer.probability(applications[at])
    assert "Traceback" not in service.log.read_text()
