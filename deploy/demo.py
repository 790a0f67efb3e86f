"""`make demo`: a cluster with real containers, an application on it, and proof that it answers.

Builds the application's image here, starts the cluster in the background, applies `examples/`, waits for the
roll-out, and asks the Service until every replica has answered. The cluster is left running.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from kplane.api.clock import SystemClock
from kplane.cli.layout import Layout, default_root
from kplane.cli.options import Runtime, missing_for_containers
from kplane.testing.images import hello

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
REPLICAS = 3
ANSWER_SECONDS = 30


def say(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m", flush=True)


def kplane(*arguments: str) -> None:
    subprocess.run([BIN / "kplane", *arguments], check=True)


def kubectl(layout: Layout, *arguments: str) -> str:
    """kubectl's output; it is shown by whoever wants it seen."""
    command = [BIN / "kubectl", f"--kubeconfig={layout.admin_kubeconfig}", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def running(layout: Layout) -> bool:
    status = subprocess.run(
        [BIN / "kplane", "status", "-o", "json", "--data-dir", layout.root], stdout=subprocess.PIPE
    )
    return status.returncode == 0


def load_image(layout: Layout) -> None:
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(hello())
        file.flush()
        kplane("load", file.name, "--data-dir", str(layout.root))


def ask_everyone(address: str) -> set[str]:
    """Ask the Service until as many replicas as there are have answered."""
    clock, answers = SystemClock(), set[str]()
    deadline = clock.monotonic() + ANSWER_SECONDS
    while len(answers) < REPLICAS and clock.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://{address}/", timeout=2) as response:
                answer = response.read().decode().strip()
        except (OSError, urllib.error.URLError):
            continue
        if answer not in answers:
            print(f"  http://{address}/  ->  {answer}", flush=True)
            answers.add(answer)
    return answers


def main() -> int:
    missing = missing_for_containers()
    if missing:
        print(f"The demo runs real containers, for which this machine lacks: {', '.join(missing)}.")
        print(f"Without them, try simulated nodes:  {BIN / 'kplane'} up --runtime {Runtime.HOLLOW} --nodes 3")
        return 1
    layout = Layout(default_root())
    if not running(layout):
        say("Starting a cluster")
        kplane("up", "--detach", "--runtime", Runtime.CONTAINERD, "--data-dir", str(layout.root))
    say("Building the application's image and handing it to the node")
    load_image(layout)
    say("Applying deploy/examples")
    print(kubectl(layout, "apply", "-f", str(HERE / "examples")), end="")
    subprocess.run(
        [BIN / "kubectl", f"--kubeconfig={layout.admin_kubeconfig}", "rollout", "status", "deployment/hello"],
        check=True,
    )
    print(kubectl(layout, "get", "pods,services", "-o", "wide"), end="")
    say("Asking the Service until every replica has answered")
    service = json.loads(kubectl(layout, "get", "service", "hello", "-o", "json"))["spec"]
    answers = ask_everyone(service["clusterIP"])
    if len(answers) < REPLICAS:
        print(f"only {len(answers)} of {REPLICAS} replicas answered within {ANSWER_SECONDS} s")
        return 1
    say("It works. The cluster is left running; try:")
    print(f"""
  export KUBECONFIG={layout.admin_kubeconfig} PATH={BIN}:$PATH
  kubectl get all
  kubectl scale deployment hello --replicas=5
  kubectl logs -f deployment/hello
  kubectl exec -it deployment/hello -- sh
  curl http://{service["clusterIP"]}/            # or any node address, port {service["ports"][0]["nodePort"]}
  kplane status
  kplane down --purge
""")
    return 0


if __name__ == "__main__":
    sys.exit(main())
