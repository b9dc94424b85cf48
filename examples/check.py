#!/usr/bin/env python3
"""Runs every example against a node of the workspace's build, and compares them with what the documentation shows.

`interop/.venv/bin/python examples/check.py`, after `interop/setup.sh` and `cargo build --release -p bondy-cli`. An
example whose toolchain is missing is named as skipped. Exit codes: 0 all fine, 1 something failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Callable, Iterator

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "interop"))
from driver.router import Router, default_binary, exit_on_sigterm  # noqa: E402

URL = "ws://127.0.0.1:18080/ws"
DEADLINE_S = 30.0
NODE_MODULES = ROOT / "interop/node_modules"
# The folders whose programs say in a package.json what `npm install` gets.
PACKAGES = ["node", "browser", "testkit/javascript"]
DOCUMENTS = ["README.md", "docs/getting-started.md", "docs/testkit.md", "docs/client.md"]
# Its listing is compiled with the documentation of the crate.
CLIENT = "crates/bondy-client/README.md"
# What is listed in full, each in one of the documents.
LISTED = [
    "python/callee.py",
    "python/caller.py",
    "python/subscriber.py",
    "python/publisher.py",
    "node/callee.js",
    "node/caller.js",
    "browser/index.html",
    "go/main.go",
    "testkit/rust/greeter.rs",
    "testkit/python/test_greeter.py",
    "testkit/javascript/watcher.test.js",
]


class Failed(Exception):
    """An example did not do what it is there for."""


class Skipped(Exception):
    """An example could not be run on this machine."""


def copied(name: str, folder: Path, router: Router) -> Path:
    """The example with the router's address in place of the usual one."""
    text = (HERE / name).read_text()
    if URL not in text:
        raise Failed(f"{name} does not connect to {URL}")
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text.replace(URL, router.urls["websocket"]))
    return target


@contextlib.contextmanager
def running(command: list[str], env: dict[str, str] | None = None) -> Iterator[Path]:
    """The command in the background, with its output in a file; ended at the end of the block."""
    with tempfile.NamedTemporaryFile("w+", suffix=".log") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=env)
        try:
            yield Path(log.name)
        finally:
            process.terminate()
            try:
                process.wait(5.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def output_of(command: list[str], env: dict[str, str] | None = None, folder: Path | None = None) -> str:
    """What the command prints; a failure if it does not end well, and in time."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, env=env, cwd=folder)
    except subprocess.TimeoutExpired:
        raise Failed(f"`{' '.join(command)}` did not end") from None
    if done.returncode != 0:
        raise Failed(f"`{' '.join(command)}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"{what} within {DEADLINE_S:.0f} s")
        time.sleep(0.05)


def metrics_of(router: Router) -> str:
    """What the node's admin listener says of it."""
    with urllib.request.urlopen(f"{router.admin}/metrics", timeout=DEADLINE_S) as response:
        return response.read().decode()


def gauge(router: Router, name: str) -> int:
    found = re.search(rf"^bondy_{name} (\d+)$", metrics_of(router), re.MULTILINE)
    return int(found.group(1)) if found else 0


def greets(router: Router, callee: list[str], caller: list[str], env: dict[str, str] | None = None) -> None:
    """A call from the one program to the other."""
    with running(callee, env):
        wait_until(lambda: gauge(router, "registrations") == 1, "the callee did not register")
        printed = output_of(caller, env)
    if "Hello, world!" not in printed.splitlines():
        raise Failed(f"the caller printed:\n{printed}")
    wait_until(lambda: gauge(router, "registrations") == 0, "the registration did not end with its callee")


def python_calls(router: Router, folder: Path) -> None:
    callee, caller = (copied(f"python/{name}.py", folder, router) for name in ("callee", "caller"))
    greets(router, [sys.executable, str(callee)], [sys.executable, str(caller)])


def python_events(router: Router, folder: Path) -> None:
    subscriber, publisher = (copied(f"python/{name}.py", folder, router) for name in ("subscriber", "publisher"))
    with running([sys.executable, "-u", str(subscriber)]) as log:
        wait_until(lambda: gauge(router, "subscriptions") == 1, "the subscriber did not subscribe")
        output_of([sys.executable, str(publisher)])
        wait_until(lambda: "world was greeted" in log.read_text(), "the event did not arrive")


def node_calls(router: Router, folder: Path) -> None:
    if shutil.which("node") is None or not (NODE_MODULES / "autobahn").is_dir():
        raise Skipped("Node.js with autobahn is not installed")
    callee, caller = (copied(f"node/{name}.js", folder, router) for name in ("callee", "caller"))
    greets(router, ["node", str(callee)], ["node", str(caller)], {**os.environ, "NODE_PATH": str(NODE_MODULES)})


def browser_calls(router: Router, folder: Path) -> None:
    """A page calls a callee in Python, and a subscriber in Python gets the event that the page publishes."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None or not (NODE_MODULES / "autobahn-browser").is_dir():
        raise Skipped("Chromium or autobahn-browser is not installed")
    callee, subscriber = (copied(f"python/{name}.py", folder, router) for name in ("callee", "subscriber"))
    page = copied("browser/index.html", folder, router)
    (page.parent / "node_modules").symlink_to(NODE_MODULES)
    quiet = ["--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    profile = [f"--user-data-dir={folder / 'browser-profile'}", "--remote-debugging-port=0"]
    with running([sys.executable, str(callee)]), running([sys.executable, "-u", str(subscriber)]) as log:
        wait_until(lambda: gauge(router, "registrations") == 1, "the callee did not register")
        wait_until(lambda: gauge(router, "subscriptions") == 1, "the subscriber did not subscribe")
        with running([browser, *quiet, *sandbox, *profile, page.as_uri()]):
            wait_until(lambda: "browser was greeted" in log.read_text(), "the page did not call and publish")


def go_calls(router: Router, folder: Path) -> None:
    if shutil.which("go") is None:
        raise Skipped("Go is not installed")
    main = copied("go/main.go", folder, router)
    for name in ("go.mod", "go.sum"):
        shutil.copy(HERE / "go" / name, main.parent)
    program = folder / "go-example"
    built = subprocess.run(["go", "build", "-o", str(program), "."], cwd=main.parent, capture_output=True, text=True)
    if built.returncode != 0:
        raise Failed(f"`go build`:\n{built.stderr}")
    greets(router, [str(program), "callee"], [str(program), "caller"])


def testkit_environment() -> dict[str, str]:
    """Where the tests that use the testkit find it."""
    return {"BONDY_TESTKIT": f"{default_binary()} testkit", **os.environ}


def testkit_python(_router: Router, _folder: Path) -> None:
    """The tests of an application in Python. Those in Rust are part of `cargo test -p bondy-testkit`."""
    command = [sys.executable, "-m", "unittest", "discover", "--start-directory", str(HERE / "testkit/python")]
    output_of(command, testkit_environment())


def testkit_javascript(_router: Router, folder: Path) -> None:
    """As a reader runs them: in their own folder, with the packages in `node_modules`."""
    if shutil.which("node") is None or not (NODE_MODULES / "autobahn").is_dir():
        raise Skipped("Node.js with autobahn is not installed")
    copy = folder / "javascript"
    shutil.copytree(HERE / "testkit/javascript", copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy / "node_modules").symlink_to(NODE_MODULES)
    printed = output_of(["node", "--test"], testkit_environment(), copy)
    if not re.search(r"^# pass [1-9]", printed, re.MULTILINE):
        raise Failed(f"`node --test` ran nothing:\n{printed}")


def packages(_router: Router, _folder: Path) -> None:
    """`npm install` gets what the programs of a folder use, in the versions that they are run with here."""
    tested = (ROOT / "interop/setup.sh").read_text()
    for name in PACKAGES:
        named = json.loads((HERE / name / "package.json").read_text())["dependencies"]
        text = "".join(file.read_text() for pattern in ("*.js", "*.html") for file in (HERE / name).glob(pattern))
        used = set(re.findall(r"require\('([^.:']+)'\)|node_modules/([\w-]+)/", text))
        used = {package for found in used for package in found if package}
        if used != named.keys():
            raise Failed(f"{name}/package.json and its programs differ in {', '.join(sorted(used ^ named.keys()))}")
        other = [f"{package}@{version}" for package, version in named.items() if f"{package}@{version}" not in tested]
        if other:
            raise Failed(f"{name}/package.json has {', '.join(other)}, and interop/setup.sh another version")


def configuration(_router: Router, folder: Path) -> None:
    """The node accepts the file, opens every listener of it, and drains."""
    write_certificate(folder)
    file = HERE / "config/bondy.yaml"
    env = {**os.environ, "BONDY_TLS": str(folder), "BONDY_DATA": str(folder), "BONDY_SOCKET": str(folder / "b.sock")}
    output_of([str(default_binary()), "config", "check", str(file)], env)
    names = re.findall(r"^  (\w+):(?:\n    | \{ )bind: \"(?:\d|unix)", file.read_text(), re.MULTILINE)
    free = [f"--set=listeners.{name}.bind=127.0.0.1:0" for name in names if name != "local"]
    with running([str(default_binary()), "start", "--config", str(file), *free], env) as log:
        wait_until(lambda: "ready" in log.read_text(), "the node was not ready")
        missing = [name for name in names if f"{name}=" not in log.read_text()]
    if missing:
        raise Failed(f"not in the readiness line: {', '.join(missing)}")


def write_certificate(folder: Path) -> None:
    """A certificate for `localhost` and its key, for a day."""
    from datetime import datetime, timedelta, timezone

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    for file in ("cert.pem", "devices.pem"):
        (folder / file).write_bytes(certificate)
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(encoded)


def listings(_router: Router, _folder: Path) -> None:
    """What the documents show is what was run here."""
    shown = set()
    for document in DOCUMENTS:
        shown.update(re.findall(r"^```\w+\n(.*?)^```$", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL))
    different = [name for name in LISTED if (HERE / name).read_text() not in shown]
    if different:
        raise Failed(f"no listing in {' or '.join(DOCUMENTS)} equals {', '.join(different)}")
    compiled = re.findall(r"^```rust,no_run\n(.*?)^```$", (ROOT / CLIENT).read_text(), re.MULTILINE | re.DOTALL)
    if not compiled or not shown.issuperset(compiled):
        raise Failed(f"docs/client.md does not list the program of {CLIENT}")


def metrics(router: Router, _folder: Path) -> None:
    """Every metric is explained, and nothing else."""
    shown = set(re.findall(r"`(bondy_\w+)`", (ROOT / "docs/operations.md").read_text()))
    there = set(re.findall(r"^(bondy_\w+) ", metrics_of(router), re.MULTILINE))
    if shown != there:
        raise Failed(f"docs/operations.md and /metrics differ in {', '.join(sorted(shown ^ there))}")


def main() -> int:
    exit_on_sigterm()
    router = Router.start(default_binary())
    failures = 0
    try:
        checks = (
            python_calls,
            python_events,
            node_calls,
            browser_calls,
            go_calls,
            testkit_python,
            testkit_javascript,
            packages,
            configuration,
            listings,
            metrics,
        )
        for check in checks:
            name = check.__name__.replace("_", " ")
            with tempfile.TemporaryDirectory(prefix="bondy-examples-") as folder:
                try:
                    check(router, Path(folder))
                    print(f"{name}: fine", flush=True)
                except Skipped as reason:
                    print(f"{name}: skipped: {reason}", flush=True)
                except Failed as reason:
                    failures += 1
                    print(f"{name}: FAILED: {reason}", flush=True)
    finally:
        router.stop()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
