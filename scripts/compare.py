#!/usr/bin/env python3
"""Bondy beside other routers: the same load on each, in turns, on this machine.

    scripts/compare.py                        all of them, some minutes
    scripts/compare.py --only bondy,nats      these
    scripts/compare.py --realtime             before all ordinary processes, for quiet figures on a busy machine; root

Installs the others, each pinned, into a scratch folder (COMPARE_HOME, by default a folder in the user's cache), from
PyPI and through the Go module proxy, once; nothing is installed anywhere else. What cannot be installed or does not
run is left out and named. Builds bondy. Every router gets one core, its load another, and loopback ports that are free.

Prints Markdown. What counts is the router's CPU time per message: it holds on a busy machine, where latency and rates
do not. Linux; needs Python 3.9, cargo, and for the others Python 3.11 or newer with pip, and Go 1.25 or newer.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
CROSSBAR = "crossbar==26.10.1"
NATS = "github.com/nats-io/nats-server/v2@v2.15.2"
NEXUS = ("github.com/gammazero/nexus/v3", "v3.3.0", "nexusd")
XCONN = ("github.com/xconnio/xconn-go", "v0.1.0", "cmd/nxt")
PYTHONS = ["python3.12", "python3.13", "python3.11", "python3"]

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 10
RUN_TIMEOUT_S = 180

# Name, arguments of `bondy-bench`, what is counted.
BENCHMARKS = [
    ("call, one at a time", ["rpc"], "call"),
    ("call, 16 pairs, 64 each in flight", ["rpc", "--pairs", "16", "--window", "64"], "call"),
    ("event, 1 to 1,000, one at a time", ["pubsub"], "event"),
    ("event, 1 to 1,000, 16 at once", ["pubsub", "--window", "16"], "event"),
]
WIRES = {
    "rawsocket": ("rawsocket, MessagePack", ["--serializer", "msgpack"]),
    "websocket": ("WebSocket, JSON", ["--serializer", "json"]),
    "nats": ("NATS", []),
}
IDLE_SESSIONS = 5_000


class Skipped(Exception):
    """A router that cannot be measured here, and why."""


def run(command, **options):
    """Runs to the end; its output, or Skipped with the last of it."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Skipped(f"{command[0]}: {error}") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Skipped(f"{pathlib.Path(command[0]).name} failed: {' / '.join(said[-3:])}")
    return done.stdout


def free_port():
    """A port of 127.0.0.1 that is free now, for routers that cannot choose one themselves."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def write(path, text):
    """Writes a file of the scratch folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def session_processes(session):
    """The processes of a session, which a router and its workers make up."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # Behind the name in brackets: state, parent, group, session.
                if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


class Router:
    """A router: installed by `install`, then started by `command`, which tells its URLs too."""

    wires = ("rawsocket", "websocket")

    def __init__(self, home):
        self.home = home
        self.process = None
        self.urls = {}

    def start(self, core, realtime):
        """Starts it on `core` and waits until it accepts connections."""
        folder = self.home / "run" / self.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        command, self.urls = self.command(folder)
        prefix = ["taskset", "--cpu-list", str(core)]
        self.log = folder / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                prefix + command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        for url in self.urls.values():
            self.await_port(int(re.search(r":(\d+)", url.split("//")[1]).group(1)))
        # Not before: starting takes some of them seconds.
        for pid in session_processes(self.process.pid) if realtime else []:
            run(["chrt", "--all-tasks", "--fifo", "--pid", "20", str(pid)])

    def await_port(self, port):
        """Waits until somebody listens at `port`."""
        until = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        last = self.log.read_text(errors="replace").strip().splitlines()[-3:]
        self.stop()
        raise Skipped(f"does not listen: {' / '.join(last)}")

    def stop(self):
        """Ends it with everything that it has started: the session that was made for it."""
        if self.process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                break
            try:
                self.process.wait(STOP_TIMEOUT_S)
                break
            except subprocess.TimeoutExpired:
                continue
        self.process = None


class Bondy(Router):
    """This repository's."""

    name = "bondy"

    def install(self):
        build = ["cargo", "build", "--release", "--locked", "-p", "bondy-cli", "-p", "bondy-bench"]
        run(build, cwd=REPOSITORY)
        self.program = str(REPOSITORY / "target/release/bondy")
        commit = run(["git", "rev-parse", "--short=10", "HEAD"], cwd=REPOSITORY).strip()
        return f"{run([self.program, '--version']).split()[-1]} ({commit})"

    def command(self, folder):
        ports = {name: free_port() for name in ("public", "admin", "tcp")}
        command = [self.program, "start", "--dev"]
        for name, port in ports.items():
            command += ["--set", f"listeners.{name}.bind=127.0.0.1:{port}"]
        websocket = f"ws://127.0.0.1:{ports['public']}/ws"
        return command, {"rawsocket": f"rs://127.0.0.1:{ports['tcp']}", "websocket": websocket}


class Crossbar(Router):
    """Crossbar.io, one router worker."""

    name = "crossbar"

    def install(self):
        venv = self.home / "crossbar"
        self.program = str(venv / "bin/crossbar")
        stamp = venv / "installed"
        if not stamp.exists() or stamp.read_text() != CROSSBAR:
            shutil.rmtree(venv, ignore_errors=True)
            run([find_python(), "-m", "venv", str(venv)])
            pip = [str(venv / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            run(pip + ["--prefer-binary", CROSSBAR])
            stamp.write_text(CROSSBAR)
        said = run([self.program, "version"], env={**os.environ, "NO_COLOR": "1"})
        python = re.search(r"Python\s*:\s*(\S+)", re.sub(r"\x1b\[[0-9;]*m", "", said))
        return f"{CROSSBAR.split('==')[1]} ({python.group(1) if python else 'Python'})"

    def command(self, folder):
        ports = {"rawsocket": free_port(), "websocket": free_port()}
        allowed = {"call": True, "register": True, "publish": True, "subscribe": True}
        permission = {"uri": "", "match": "prefix", "allow": allowed}
        transports = [
            {
                "type": kind,
                "endpoint": {"type": "tcp", "port": port, "interface": "127.0.0.1", "backlog": 4096},
                "serializers": ["json", "msgpack", "cbor"],
            }
            for kind, port in ports.items()
        ]
        worker = {
            "type": "router",
            "realms": [{"name": "realm1", "roles": [{"name": "anonymous", "permissions": [permission]}]}],
            "transports": transports,
        }
        node = folder / "node"
        write(node / "config.json", json.dumps({"version": 2, "workers": [worker]}))
        command = [self.program, "start", "--cbdir", str(node), "--loglevel", "warn", "--color", "false"]
        rawsocket = f"rs://127.0.0.1:{ports['rawsocket']}"
        return command, {"rawsocket": rawsocket, "websocket": f"ws://127.0.0.1:{ports['websocket']}/ws"}


class GoRouter(Router):
    """A router from a Go module, built in a module of its own."""

    def build(self, module, version, package):
        folder = self.home / self.name
        self.program = str(folder / pathlib.Path(package).name)
        stamp = folder / "installed"
        if not stamp.exists() or stamp.read_text() != version:
            require_go()
            write(folder / "go.mod", f"module compare\n\ngo 1.25\n\nrequire {module} {version}\n")
            build = ["go", "build", "-mod=mod", "-trimpath", "-o", self.program, f"{module}/{package}"]
            run(build, cwd=folder)
            stamp.write_text(version)
        return f"{version.lstrip('v')} (Go)"


class Nexus(GoRouter):
    """nexus, its own daemon, with queues for clients that are longer than all that is ever in flight."""

    name = "nexus"

    def install(self):
        return self.build(*NEXUS)

    def command(self, folder):
        ports = {"rawsocket": free_port(), "websocket": free_port()}
        config = {
            "websocket": {"address": f"127.0.0.1:{ports['websocket']}", "out_queue_size": 16_384},
            "rawsocket": {"tcp_address": f"127.0.0.1:{ports['rawsocket']}", "out_queue_size": 16_384},
            "router": {"realms": [{"uri": "realm1", "anonymous_auth": True}]},
        }
        file = write(folder / "nexus.json", json.dumps(config))
        websocket = f"ws://127.0.0.1:{ports['websocket']}/ws"
        urls = {"rawsocket": f"rs://127.0.0.1:{ports['rawsocket']}", "websocket": websocket}
        return [self.program, "-c", str(file)], urls


class Xconn(GoRouter):
    """xconn-go, its own daemon."""

    name = "xconn"

    def install(self):
        return self.build(*XCONN)

    def command(self, folder):
        ports = {"rawsocket": free_port(), "websocket": free_port()}
        allowed = {f"allow_{what}": True for what in ("call", "register", "publish", "subscribe")}
        serializers = ["json", "cbor", "msgpack"]
        transports = [
            {"type": kind, "listener": "tcp", "address": f"127.0.0.1:{port}", "serializers": serializers}
            for kind, port in ports.items()
        ]
        role = {"name": "anonymous", "permissions": [{"uri": "", "match": "prefix", **allowed}]}
        config = {
            "version": "1",
            "config": {"loglevel": "error", "management": False},
            "realms": [{"name": "realm1", "roles": [role]}],
            "transports": transports,
            "authenticators": {"anonymous": [{"authid": "bench", "realm": "realm1", "role": "anonymous"}]},
        }
        # JSON is YAML.
        write(folder / ".nxt/config.yaml", json.dumps(config))
        websocket = f"ws://127.0.0.1:{ports['websocket']}/ws"
        urls = {"rawsocket": f"rs://127.0.0.1:{ports['rawsocket']}", "websocket": websocket}
        return [self.program, "start"], urls


class Nats(Router):
    """nats-server: no WAMP, and its request-reply and events do less; beside the others for its speed."""

    name = "nats"
    wires = ("nats",)

    def install(self):
        folder = self.home / "nats"
        self.program = str(folder / "nats-server")
        stamp = folder / "installed"
        if not stamp.exists() or stamp.read_text() != NATS:
            require_go()
            folder.mkdir(parents=True, exist_ok=True)
            run(["go", "install", "-trimpath", NATS], env={**os.environ, "GOBIN": str(folder)})
            stamp.write_text(NATS)
        return f"{run([self.program, '--version']).strip().split('v')[-1]} (Go)"

    def command(self, folder):
        port = free_port()
        return [self.program, "-a", "127.0.0.1", "-p", str(port)], {"nats": f"nats://127.0.0.1:{port}"}


ROUTERS = [Bondy, Crossbar, Nexus, Xconn, Nats]


def find_python():
    """An interpreter that Crossbar.io can be installed for. A version manager's stub may be found and still fail."""
    for name in PYTHONS:
        check = "import sys, venv; sys.exit(sys.version_info < (3, 11))"
        if shutil.which(name) and subprocess.run([name, "-c", check], capture_output=True).returncode == 0:
            return name
    raise Skipped("needs Python 3.11 or newer with the module venv")


def require_go():
    """Go, or a reason."""
    if not shutil.which("go"):
        raise Skipped("needs Go")


def measure(router, wire, arguments, realtime, extra):
    """One round of one benchmark, beside its floor."""
    command = [str(REPOSITORY / "target/release/bondy-bench"), *arguments, "--url", router.urls[wire]]
    command += WIRES[wire][1] + ["--rounds", "1", "--output", "json"] + extra
    command += ["--realtime"] if realtime else []
    # Names of the environment would name another router.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BONDY_")}
    return json.loads(run(command, timeout=RUN_TIMEOUT_S, env=environment))


def compare(routers, options, core):
    """Every benchmark on every router, in turns; rounds of each (router, wire, benchmark), and what failed."""
    rounds, failed = {}, {}
    for number in range(1, options.rounds + 1):
        for router in routers:
            try:
                router.start(core, options.realtime)
                for wire in router.wires:
                    for name, arguments, _ in BENCHMARKS:
                        key = (router.name, wire, name)
                        say(f"round {number} of {options.rounds}: {router.name}, {wire}, {name}")
                        try:
                            extra = ["--with-floor", "--duration", options.duration]
                            result = measure(router, wire, arguments, options.realtime, extra)
                            rounds.setdefault(key, []).append(result)
                        except Skipped as error:
                            failed[key] = str(error)
            except Skipped as error:
                failed[(router.name, "start", str(number))] = str(error)
            finally:
                router.stop()
    return rounds, failed


def idle(routers, core):
    """Memory of an idle session of each router and wire, on a router that has just been started."""
    results = {}
    for router in routers:
        for wire in router.wires:
            say(f"idle sessions: {router.name}, {wire}")
            try:
                router.start(core, realtime=False)
                arguments = ["connections", "--sessions", str(IDLE_SESSIONS)]
                results[(router.name, wire)] = measure(router, wire, arguments, False, [])
            except Skipped as error:
                say(f"idle sessions: {router.name}, {wire}: {error}")
            finally:
                router.stop()
    return results


def say(text):
    """Progress, to standard error."""
    print(text, file=sys.stderr, flush=True)


def median(rounds, *path):
    """The median of one figure of several rounds; None where it is missing."""
    values = []
    for value in rounds:
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, (int, float)):
            values.append(value)
    return statistics.median(values) if values else None


def number(value, digits=0):
    """For a table."""
    return "–" if value is None else f"{value:,.{digits}f}"


def table(rounds, title, operation, benchmark, order):
    """One table of Markdown."""
    lines = [
        f"**{title}**",
        "",
        f"| Router | Over | Router's CPU for one {operation} | beside the floor | {operation}s per router core and second "
        "| p50 | p99 |",
        "|---|---|---|---|---|---|---|",
    ]
    for wire, (wire_name, _) in WIRES.items():
        for name in order:
            found = rounds.get((name, wire, benchmark))
            if not found:
                continue
            cpu = median(found, f"router_cpu_ns_per_{operation}")
            ratio = median(found, "ratio", f"router_cpu_ns_per_{operation}")
            rate = median(found, f"{operation}s_per_core_s")
            p50, p99 = median(found, "p50_us"), median(found, "p99_us")
            lines.append(
                f"| {name} | {wire_name} | {number(cpu)} ns | {number(ratio, 2)} | {number(rate)} | {number(p50)} µs "
                f"| {number(p99)} µs |"
            )
    return lines + [""]


def markdown(routers, versions, skipped, rounds, failed, sessions, options):
    """The whole comparison."""
    order = [router.name for router in routers]
    model = next(
        (line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown"
    )
    today = datetime.date.today().isoformat()
    how = "scripts/compare.py" + (" --realtime" if options.realtime else "")
    if len(order) < len(ROUTERS):
        how += f" --only {','.join(order)}"
    how += f" --rounds {options.rounds} --duration {options.duration}"
    lines = [
        f"Measured on {today} by `{how}`: {os.cpu_count()} cores of {model}, Linux {platform.release()}; "
        "medians of the rounds, payloads of 64 octets.",
        "",
        "| Router | Version |",
        "|---|---|",
        *[f"| {name} | {versions[name]} |" for name in order],
        "",
    ]
    for title, _, operation in BENCHMARKS:
        lines += table(rounds, title[0].upper() + title[1:], operation, title, order)
    lines += [f"**Memory of an idle session** ({IDLE_SESSIONS:,} of them)", ""]
    lines += ["| Router | Over | Octets | Router's CPU for one join |", "|---|---|---|---|"]
    for wire, (wire_name, _) in WIRES.items():
        for name in order:
            result = sessions.get((name, wire))
            if result:
                octets, cpu = result.get("resident_bytes_per_session"), result.get("router_cpu_ns_per_join")
                cpu = None if cpu is None else cpu / 1_000
                lines.append(f"| {name} | {wire_name} | {number(octets)} | {number(cpu)} µs |")
    lines.append("")
    for name, reason in skipped.items():
        lines.append(f"- {name} is left out: {reason}")
    for (name, wire, benchmark), reason in failed.items():
        lines.append(f"- {name}, {wire}, {benchmark}: {reason}")
    return "\n".join(lines)


def main():
    """Installs, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
    home = os.environ.get("COMPARE_HOME", str(cache / "bondy-compare"))
    names = ",".join(router.name for router in ROUTERS)
    parser.add_argument("--only", default=names, help=f"the routers, by name: {names}")
    parser.add_argument("--rounds", type=int, default=3, help="how often every router has its turn")
    parser.add_argument("--duration", default="500ms", help="how long each benchmark of a round is measured")
    parser.add_argument("--realtime", action="store_true", help="before all ordinary processes (SCHED_FIFO); root")
    parser.add_argument("--home", type=pathlib.Path, default=pathlib.Path(home), help="the scratch folder")
    parser.add_argument("--json", type=pathlib.Path, help="write everything that was measured to this file too")
    options = parser.parse_args()
    wanted = options.only.split(",")
    unknown = set(wanted) - {router.name for router in ROUTERS}
    if unknown:
        parser.error(f"--only: there is no {', '.join(sorted(unknown))} among {names}")
    if options.rounds < 1:
        parser.error("--rounds: at least 1")

    routers, versions, skipped = [], {}, {}
    for kind in ROUTERS:
        # Bondy is built in any case: the load comes from its workspace.
        if kind.name not in wanted and kind is not Bondy:
            continue
        say(f"installing {kind.name}")
        router = kind(options.home.resolve())
        try:
            versions[router.name] = router.install()
            if router.name in wanted:
                routers.append(router)
        except Skipped as error:
            skipped[router.name] = str(error)
            if kind is Bondy:
                sys.exit(f"error: bondy cannot be built: {error}")
    core = max(os.sched_getaffinity(0))
    sessions = idle(routers, core)
    rounds, failed = compare(routers, options, core)
    print(markdown(routers, versions, skipped, rounds, failed, sessions, options))
    if options.json:
        plain = {
            "versions": versions,
            "rounds": {" / ".join(key): value for key, value in rounds.items()},
            "idle": {" / ".join(key): value for key, value in sessions.items()},
            "failed": {" / ".join(key): value for key, value in failed.items()},
            "skipped": skipped,
        }
        options.json.write_text(json.dumps(plain, indent=1))
    if skipped or failed:
        say("some of it could not be measured: see the end of the output")


if __name__ == "__main__":
    main()
