# SPDX-License-Identifier: Apache-2.0
"""A device with Debian and systemd on the virtual board, and its API over mutual TLS, as curl sees it."""

import glob
import json
import os
import shutil
import subprocess
import tempfile
import time

import board as b

DEVICE = f"{b.TOP}/out/device-debian"
# An emulated processor is slow, and so may the PC be.
PATIENCE = 1800
APPEND = "root=LABEL=root ro quiet systemd.default_timeout_start_sec=900 rcupdate.rcu_cpu_stall_suppress=1 nowatchdog"


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, capture_output=True)


class Certificates:
    """An authority, the device's certificate, and an administrator's."""

    def __init__(self, directory):
        self.dir = directory
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                "-subj", "/CN=ca", "-keyout", self.path("ca.key"), "-out", self.path("ca.pem"))
        self.sign("device", "/CN=device", "subjectAltName=IP:127.0.0.1,DNS:device\nextendedKeyUsage=serverAuth")
        self.sign("admin", "/CN=admin/OU=croft-admin", "extendedKeyUsage=clientAuth")

    def path(self, name):
        return f"{self.dir}/{name}"

    def sign(self, name, subject, extensions):
        with tempfile.NamedTemporaryFile("w", suffix=".ext") as ext:
            ext.write(extensions)
            ext.flush()
            openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
                    "-keyout", self.path(f"{name}.key"), "-out", self.path(f"{name}.csr"))
            openssl("x509", "-req", "-in", self.path(f"{name}.csr"), "-CA", self.path("ca.pem"), "-CAkey", self.path("ca.key"),
                    "-CAcreateserial", "-days", "30", "-extfile", ext.name, "-out", self.path(f"{name}.pem"))


class Device:
    """The device, a web server with the packages and the guest image, and the verbs of the API."""

    def __init__(self):
        self.dir = f"{b.TOP}/out/board/packages"
        shutil.rmtree(self.dir, ignore_errors=True)
        self.web = f"{self.dir}/web"
        shutil.copytree(f"{b.TOP}/out/guest", self.web)
        self.debs = packages()
        for deb in self.debs:
            shutil.copy(deb, self.web)
        self.disk = f"{self.dir}/disk.raw"
        subprocess.run(["cp", "--sparse=always", f"{DEVICE}/disk.raw", self.disk], check=True)
        self.certificates = Certificates(self.dir)
        self.images = b.Images(self.web)
        self.board = None
        self.boots = 0

    def boot(self):
        self.boots += 1
        self.board = b.Board("packages", DISK=self.disk, KERNEL=f"{DEVICE}/vmlinuz", INITRD=f"{DEVICE}/initrd.img",
                             BOARD_APPEND=APPEND)
        end = time.monotonic() + PATIENCE
        while True:
            assert self.board.qemu.poll() is None, f"QEMU has ended, see {self.dir}"
            try:
                self.run("true")
                break
            except b.channel.BoardGone:
                assert time.monotonic() < end, f"no answer, see {self.dir}/console.log"
                time.sleep(0.5)

    def run(self, command, may_fail=False):
        """What a command of root's prints on the device."""
        status, output = b.channel.run(command, PATIENCE, f"{self.board.dir}/debug.sock")
        text = output.decode(errors="replace")
        assert may_fail or status == 0, f"{command}: status {status}: {text[-3000:]}"
        return text

    def put(self, path, text, mode="644"):
        self.run(f"install -D -m {mode} /dev/stdin {path} <<'END'\n{text}\nEND")

    def wait_for(self, condition, what):
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, what
            time.sleep(0.5)

    def off(self):
        """Powers off as its owner would; QEMU's exit status."""
        try:
            self.run("systemctl poweroff --no-block", may_fail=True)
        except b.channel.BoardGone:
            pass
        return self.board.qemu.wait(timeout=PATIENCE)

    def kill(self):
        if self.board:
            self.board.kill()

    # ---- the API --------------------------------------------------------------------------

    def curl(self, *words, status=(200, 201, 202)):
        """The body of an answer with one of these statuses."""
        tls = self.certificates.path
        command = ["curl", "-sS", "--max-time", str(PATIENCE), "--cacert", tls("ca.pem"), "--cert", tls("admin.pem"),
                   "--key", tls("admin.key"), "-w", "\n%{http_code}", *words[:-1],
                   f"https://127.0.0.1:{self.board.port}{words[-1]}"]
        done = subprocess.run(command, capture_output=True)
        assert done.returncode == 0, (command, done.stderr)
        body, code = done.stdout.rsplit(b"\n", 1)
        assert int(code) in status, (command, code, body[:2000])
        return body

    def call(self, *words, status=(200, 201, 202)):
        return json.loads(self.curl(*words, status=status))

    def operation(self, path, body=None):
        """A slow verb that succeeds."""
        answer = self.call(*(["--json", json.dumps(body)] if body else ["-X", "POST"]), path)
        end = time.monotonic() + PATIENCE
        while answer["state"] not in ("SUCCEEDED", "FAILED", "CANCELLED"):
            assert time.monotonic() < end, answer
            answer = self.call(f"/v1/operations/{answer['name']}?wait=30s")
        assert answer["state"] == "SUCCEEDED", answer

    def create(self, name, **spec):
        self.call("--json", json.dumps({"name": name, "spec": {
            "vcpus": 1, "memory_bytes": 128 << 20, "image": "guest", "disks": [{"name": "root", "image_disk": "root"}],
            **spec}}), "/v1/vms")

    def status(self, name):
        return self.call(f"/v1/vms/{name}")["status"]

    def console(self, name):
        return self.curl(f"/v1/vms/{name}/console").decode(errors="replace")

    def wait_console(self, name, text):
        end = time.monotonic() + PATIENCE
        while True:
            console = self.console(name)
            if text in console:
                return console
            state = self.status(name)
            assert state["state"] == "RUNNING", (state, console[-2000:])
            assert time.monotonic() < end, f"no {text!r} on the console: {console[-2000:]!r}"
            time.sleep(0.3)

    def type(self, name, line):
        self.curl("-H", "Content-Type: application/octet-stream", "--data-binary", f"{line}\n", f"/v1/vms/{name}/console")

    def start(self, name, **spec):
        """A VM that has come up to its shell; its console."""
        self.create(name, **spec)
        self.operation(f"/v1/vms/{name}:start")
        return self.wait_console(name, "/ # ")

    def stop(self, name):
        """The guest obeys its power key; then the VM goes."""
        self.operation(f"/v1/vms/{name}:stop", {"deadline": "600s"})
        status = self.status(name)
        assert status["state"] == "STOPPED" and status["exit_reason"] == "guest_poweroff", status
        self.call("-X", "DELETE", f"/v1/vms/{name}")


def packages():
    """The packages for the device: the agent's and the driver's."""
    found = glob.glob(f"{b.TOP}/out/packages/croft-agent_*_arm64.deb") + \
        glob.glob(f"{b.TOP}/out/packages/croft-driver-dkms_*_all.deb")
    assert len(found) == 2, found
    return found


def next_version(deb, directory):
    """The same package with a later version."""
    tree = tempfile.mkdtemp(dir=directory)
    subprocess.run(["dpkg-deb", "-R", deb, tree], check=True)
    with open(f"{tree}/DEBIAN/control") as f:
        control = f.read().splitlines()
    with open(f"{tree}/DEBIAN/control", "w") as f:
        f.write("".join(line + ("+next" if line.startswith("Version: ") else "") + "\n" for line in control))
    out = os.path.join(directory, "next.deb")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, out], check=True, capture_output=True)
    shutil.rmtree(tree)
    return out
