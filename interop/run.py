#!/usr/bin/env python3
"""Every client against the router, in pairs. `README.md` beside this file says more.

Exit codes: 0 all fine, 1 something failed, 2 the suite could not run.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from driver.feature import FEATURES
from driver.matrix import Score, World, run
from driver.peer import Peer, PeerFailed
from driver.router import Router, RouterFailed, default_binary, exit_on_sigterm

HERE = Path(__file__).resolve().parent
CACHE = HERE / ".cache"
PYTHON = str(HERE / ".venv/bin/python")
PEERS = {
    "autobahn-python": [PYTHON, "peers/autobahn_python.py"],
    "autobahn-js": ["node", "peers/autobahn_js.mjs"],
    "wampy-js": ["node", "peers/wampy_js.mjs"],
    "xconn-python": [PYTHON, "peers/xconn_python.py"],
    "nexus-go": [str(CACHE / "bin/nexus")],
    "xconn-go": [str(CACHE / "bin/xconn")],
    "wamp-async-rust": [str(CACHE / "bin/wamp_async_peer")],
}

# Clients that the registries serve and the suite does without; they count as skipped.
LEFT_OUT = {
    "autobahn-cpp": "17.5.1 in Debian: an old C++ client of the basic profile, for which nobody has written a peer",
    "wampy-python": "1.1.0 has the basic profile as JSON over WebSocket; nobody has written a peer",
    "wampproto-rust": "0.1.0 is an engine without any transport: nothing to connect",
    "wampire-rust": "0.2.1 covers less than wamp_async and sends request ids up to 2^56, beyond the specification",
}


def skipped_by_setup() -> dict[str, str]:
    """Clients that `setup.sh` could not install, with its reasons."""
    try:
        lines = (CACHE / "skipped").read_text().splitlines()
    except FileNotFoundError:
        return {name: "interop/setup.sh has not run" for name in PEERS}
    return dict(line.split("\t", 1) for line in lines)


def start_peers(wanted: list[str], folder: Path, trace) -> tuple[list[Peer], dict[str, str], dict[str, str]]:
    """Peers that run, clients skipped and clients broken, each with a reason."""
    skipped, broken, peers = skipped_by_setup() | LEFT_OUT, {}, []
    for name, command in PEERS.items():
        if name in skipped or (wanted and name not in wanted):
            continue
        peer = Peer(name, command, HERE, folder / f"{name}.log", trace)
        try:
            peer.start()
            peers.append(peer)
        except (OSError, PeerFailed) as error:
            broken[name] = f"{error} (see {peer.log})"
    return peers, skipped, broken


def table(score: Score, peers: list[Peer], features: list) -> str:
    """Clients across, features down."""
    names = [peer.name for peer in peers]
    width = max(len(feature.name) for feature in features)
    lines = [" " * width + "  " + "  ".join(f"{name:>15}" for name in names) + "  seconds"]
    for feature in features:
        cells = []
        for name in names:
            runs, failed = score.runs[name, feature.name], score.failed[name, feature.name]
            if failed:
                cells.append(f"FAIL {failed}/{runs}")
            elif runs:
                sides = score.sides[name, feature.name]
                cells.append(f"ok {runs}" if len(sides) == 2 else f"ok {runs} {min(sides)}")
            else:
                cells.append("n.a." if score.gaps[name, feature.name] else "-")
        lines.append(f"{feature.name:<{width}}  " + "  ".join(f"{c:>15}" for c in cells) + f"  {score.seconds[feature.name]:7.1f}")
    return "\n".join(lines)


def gaps(score: Score) -> list[str]:
    """One line for each thing that a client cannot do."""
    lines: dict[tuple[str, str], list[str]] = {}
    for (client, feature), found in sorted(score.gaps.items()):
        for role, reason in found:
            lines.setdefault((client, reason), []).append(f"{feature} ({role})")
    return [f"  {client}: {reason}: {', '.join(sorted(what))}" for (client, reason), what in sorted(lines.items())]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--router", action="append", metavar="URL", help="a running router: ws://, tcp:// or unix: URLs")
    parser.add_argument("--realm", default="realm1")
    parser.add_argument("--binary", type=Path, help="the bondy executable (default: the workspace's build)")
    parser.add_argument("--quick", action="store_true", help="a representative part")
    parser.add_argument("--only", action="append", default=[], metavar="FEATURE", help="features whose names contain this")
    parser.add_argument("--clients", default="", help="comma-separated client names")
    parser.add_argument("--without", action="append", default=[], metavar="SERIALIZER", help="leave one out")
    parser.add_argument("--failures-max", type=int, default=12, help="failures after which a feature is left")
    parser.add_argument("--trace", type=Path, help="write every protocol line here")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    exit_on_sigterm()
    begun = time.monotonic()
    features = [f for f in FEATURES if not options.only or any(part in f.name for part in options.only)]
    if not features:
        print("no feature of that name; there are:", ", ".join(f.name for f in FEATURES))
        return 2
    folder = Path(tempfile.mkdtemp(prefix="bondy-interop-logs-"))
    trace_file = options.trace.open("w") if options.trace else None

    def trace(line: str) -> None:
        if trace_file:
            trace_file.write(f"{time.monotonic() - begun:9.4f} {line}\n")

    try:
        router = Router.at(options.router, options.realm) if options.router else Router.start(options.binary or default_binary(), folder / "router.log")
    except (RouterFailed, OSError) as error:
        print(f"router: {error}")
        return 2
    wanted = [name for name in options.clients.split(",") if name]
    peers, skipped, broken = start_peers(wanted, folder, trace)
    print("router:", ", ".join(router.urls.values()))
    for peer in peers:
        print(f"client: {peer.name} {peer.about['version']}, {len(peer.about['endpoints'])} transports and serializers")
    world = World(router, peers, options.without)
    score = run(world, features, options.quick, lambda text: print(text, flush=True), options.failures_max)
    world.close()
    for peer in peers:
        peer.stop()
    stop_problem = stop(router)
    print()
    print(table(score, peers, features))
    if lines := gaps(score):
        print("\nn.a., because the client lacks it:")
        print("\n".join(lines))
    for name, reason in sorted(skipped.items()):
        print(f"skipped: {name}: {reason}")
    for name, reason in sorted(broken.items()):
        print(f"broken: {name}: {reason}")
    if stop_problem:
        print(f"router: {stop_problem}")
    cases = sum(score.runs.values())
    failed = len(score.failures) + len(broken) + bool(stop_problem)
    if not failed:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"logs of router and clients: {folder}")
    print(f"\n{time.monotonic() - begun:.0f} s, {cases} client runs")
    print(f"{len(features) * len(peers) - len({f[0].name for f in score.failures})} passed, {failed} failed, {len(skipped)} skipped")
    return 1 if failed or not peers else 0


def stop(router: Router) -> str | None:
    """Ends our own router; what is wrong with how it ended."""
    try:
        code = router.stop()
    except RouterFailed as error:
        return str(error)
    return None if code in (None, 0) else f"exit code {code} after SIGTERM"


if __name__ == "__main__":
    sys.exit(main())
