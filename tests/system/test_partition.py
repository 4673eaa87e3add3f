"""The network between service and PostgreSQL swallows what is sent."""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import httpx
import pytest

from app.store.embedded import EmbeddedPostgres, binaries
from tests.service import SECRET, Service
from tests.traffic import recovers, refused_in_time, through_faults


class Network:
    """This machine, a router and a server: two network namespaces, two cables.

    The router is what fails: packets that it does not forward vanish without a word.
    """

    here, server = "10.213.7.1", "10.213.7.6"

    def __init__(self) -> None:
        name = token_hex(3)
        self.router, self.server_space = f"rollcall-r{name}", f"rollcall-s{name}"
        self.cable = f"rc{name}"

    def build(self) -> None:
        """Raises OSError where this machine does not let us."""
        for space in (self.router, self.server_space):
            ip("netns", "add", space)
        ip(
            "link",
            "add",
            "name",
            self.cable,
            "type",
            "veth",
            "peer",
            "name",
            "near",
            "netns",
            self.router,
        )
        ip("-n", self.router, "link", "add", "name", "far", "type", "veth", "peer", "name", "near",
           "netns", self.server_space)  # fmt: skip
        for space, link, address in (
            (None, self.cable, f"{self.here}/30"),
            (self.router, "near", "10.213.7.2/30"),
            (self.router, "far", "10.213.7.5/30"),
            (self.server_space, "near", f"{self.server}/30"),
        ):
            inside = ("-n", space) if space else ()
            ip(*inside, "address", "add", address, "dev", link)
            ip(*inside, "link", "set", link, "up")
        ip("route", "add", "10.213.7.4/30", "via", "10.213.7.2")
        ip("-n", self.server_space, "route", "add", "default", "via", "10.213.7.5")
        self.heal()

    def cut(self) -> None:
        """Nothing passes any more."""
        self._forward("0")

    def mute(self) -> None:
        """What is sent to the server arrives, a COMMIT too; its answers vanish."""
        ip("-n", self.router, "route", "add", "blackhole", f"{self.here}/32")

    def heal(self) -> None:
        self._forward("1")
        subprocess.run(
            ["ip", "-n", self.router, "route", "del", "blackhole", f"{self.here}/32"],
            capture_output=True, check=False,
        )  # fmt: skip

    def remove(self) -> None:
        for space in (self.router, self.server_space):
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)

    def _forward(self, value: str) -> None:
        write = f"echo {value} > /proc/sys/net/ipv4/ip_forward"
        ip("netns", "exec", self.router, "sh", "-c", write)


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(done.stderr.strip())


@pytest.fixture
def network() -> Iterator[Network]:
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("setpriv"):
        pytest.skip("no root, `ip` or `setpriv` here, which networks are made with")
    network = Network()
    try:
        try:
            network.build()
        except OSError as reason:
            pytest.skip(f"no network namespaces here: {reason}")
        yield network
    finally:
        network.remove()


@pytest.fixture
def distant_postgres(network: Network, tmp_path: Path) -> Iterator[str]:
    """The URL of a server at the other end of the network."""
    embedded = EmbeddedPostgres(tmp_path / "pg")
    asyncio.run(embedded.start())
    asyncio.run(embedded.stop())
    data = embedded.folder / "data"
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {network.here}/32 trust\n")
    user = data.owner()
    server = subprocess.Popen(
        ["ip", "netns", "exec", network.server_space,
         "setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups",
         binaries() / "postgres", "-D", data, "-c", f"listen_addresses={network.server}",
         "-c", f"unix_socket_directories={embedded.socket_folder}"],
        cwd=data, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield f"postgresql://postgres@{network.server}/rollcall"
    finally:
        # At once: where the network still fails, its clients cannot say that they have gone.
        server.send_signal(signal.SIGINT)
        server.wait(30)


@pytest.mark.parametrize("fault", ["mute", pytest.param("cut", marks=pytest.mark.long)])
def test_a_partition_costs_refusals_in_time_and_passes(
    network: Network,
    distant_postgres: str,
    tiny_pack: Path,
    tmp_path: Path,
    hanks: bytes,
    fault: str,
) -> None:
    service = Service(
        {
            "ROLLCALL_PACK": str(tiny_pack),
            "ROLLCALL_DATA_DIR": str(tmp_path / "data"),
            "ROLLCALL_DATABASE_URL": distant_postgres,
            "ROLLCALL_SECRET": SECRET,
            "ROLLCALL_DEADLINE": "5",
        }
    )
    try:
        service.wait_until_ready()
        with through_faults(service, hanks, distant_postgres) as traffic:
            for seconds in (0.5, 7.0):
                refused_in_time(traffic, getattr(network, fault), least=8)
                time.sleep(seconds)
                answer = httpx.post(f"{service.url}/identify", files={"image": hanks}, timeout=10)
                assert answer.status_code == 200
                [face] = answer.json()["faces"]
                # Names cannot be read; where all were erased a moment ago there are none to read.
                assert answer.json()["details"] is not bool(face["candidates"])
                assert httpx.get(f"{service.url}/readyz", timeout=5).status_code == 200
                network.heal()
                recovers(traffic)
    finally:
        service.kill()
