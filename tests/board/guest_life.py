# SPDX-License-Identifier: Apache-2.0
"""A guest that reboots and comes back by its restart policy; and what a guest costs the host: wake-ups, system calls, memory."""

import re
import time

import board

TRACING = "/sys/kernel/tracing"
QUIET = 10  # seconds without a wake-up are quiet
READERS = 16
READS = 12800  # of images/guest/load.c


def reboots(g):
    """It boots twice, with its disk as it left it, and is then left alone."""
    g.create("again", cmdline_append="croft.test=reboot", restart={"when": "on_failure", "limit": 1})
    g.start("again")
    status = board.until(lambda: "left alone" in g.status("again").get("message", "") and g.status("again"), "it is not left alone")
    assert (status["state"], status["exit_reason"]) == ("STOPPED", "guest_reset"), status
    assert (status["starts"], status["restarts"]) == (2, 1), status
    console = g.console("again")
    assert console.count(b"croft-guest: ready") == 2 and b"boots 1" in console and b"boots 2" in console, console[-2000:]
    assert g.board.pinned() == 0
    g.delete("again")


def thread_of(g, name):
    """The number of croftd's thread of that name."""
    found = g.board.run(f"grep -l '^{name}$' /proc/$(pidof croftd)/task/*/comm || true").split()
    assert len(found) == 1, found
    return found[0].split("/")[-2]


def voluntary_switches(g, tid):
    status = g.board.run(f"cat /proc/$(pidof croftd)/task/{tid}/status")
    return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)$", status, re.M)[1])


def type_line(g, name, text):
    answer = g.request("POST", f"/v1/vms/{name}/console", text.encode() + b"\n",
                       headers={"Content-Type": "application/octet-stream"})
    assert answer.status == 200, answer


def idle_guest(g):
    """A guest that does nothing does not wake the VMM: its device thread sleeps on, for as long as nobody asks."""
    g.create("idle", cmdline_append="croft.test=shell")
    g.start("idle")
    g.wait_console("idle", b"/ # ")
    tid = thread_of(g, "idle/dev")
    # Until what booting set off is behind us; a guest that never came to rest would fail here.
    for _ in range(24):
        before = voluntary_switches(g, tid)
        time.sleep(QUIET)
        if (after := voluntary_switches(g, tid)) == before:
            break
    assert after == before, (before, after)
    g.stop("idle")
    g.delete("idle")
    print(f"    an idle guest: no wake-up of the VMM in {QUIET} s, {after} since its start", flush=True)


def trace(g, tid, on):
    """Counts the system calls of a thread, in the kernel's trace buffers."""
    if on:
        g.board.run(f"mountpoint -q {TRACING} || mount -t tracefs none {TRACING}; cd {TRACING} && echo 0 >tracing_on && "
                    f"echo {tid} >set_event_pid && echo 1 >events/raw_syscalls/sys_enter/enable && echo >trace && echo 1 >tracing_on")
        return 0
    text = g.board.run(f"cd {TRACING} && echo 0 >tracing_on && cat per_cpu/cpu*/stats; "
                       "echo 0 >events/raw_syscalls/sys_enter/enable; echo >set_event_pid")
    return sum(int(n) for n in re.findall(r"^(?:entries|overrun|dropped events): (\d+)$", text, re.M))


def disk_requests(g, name):
    return sum(g.stats(name)["disks"][0]["queue_requests"])


def block_path(g):
    """Many readers at once: what the VMM's device thread asks of the host's kernel for each request, with one vCPU to keep it busy."""
    g.create("load", cmdline_append="croft.test=shell", disks=[{"name": "data", "size_bytes": 64 << 20}])
    g.start("load")
    g.wait_console("load", b"/ # ")
    tid = thread_of(g, "load/dev")
    trace(g, tid, True)
    before = disk_requests(g, "load")
    type_line(g, "load", f"for i in $(seq 0 {READERS - 1}); do dd if=/dev/vda of=/dev/null bs=4k count=512 skip=$((i * 1024)) "
                         "2>/dev/null & done; wait; echo read-$((1 + 1))")
    g.wait_console("load", b"read-2")
    calls, requests = trace(g, tid, False), disk_requests(g, "load") - before
    assert calls > 0 and requests > 0, (calls, requests)
    print(f"    block, {READERS} readers in a guest: {requests} requests, {calls} system calls, {calls / requests:.2f} each",
          flush=True)
    trace(g, tid, True)
    before = disk_requests(g, "load")
    type_line(g, "load", "load /dev/vda && echo loaded-$((1 + 1))")
    g.wait_console("load", b"loaded-2")
    calls, requests = trace(g, tid, False), disk_requests(g, "load") - before
    # Neighbours may have become one.
    assert requests > READS / 2 and 0 < calls <= requests, (calls, requests)
    print(f"    block, {READS} reads, 64 at once: {requests} requests, {calls} system calls, {calls / requests:.2f} each", flush=True)
    g.stop("load")
    g.delete("load")
