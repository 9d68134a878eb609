"""Celery beside our queue: the same no-op, on a quorum queue of the same broker, with confirms and late acknowledgements.

    peer.py measure TASKS IDLE_TASKS      publishes and measures; prints one line of JSON
    peer.py kill TASKS SLEEP_MS KILLS     kills the worker with all its processes so often, and counts what became of the tasks
    peer.py worker                        what these start: one worker with two processes

The environment gives AMQP_URL, BENCH_QUEUE and BENCH_TIMES (a file to which each task appends a pair of numbers: when it was
sent and when its body ran, both by the clock that all processes of the machine share; or its number, and whether it has
ended). With BENCH_DEFAULTS Celery is as it is by default: a classic queue, no confirms, early acknowledgements.
"""

import json
import os
import signal
import struct
import subprocess
import sys
import time

from celery import Celery
from kombu import Queue

QUEUE = os.environ["BENCH_QUEUE"]
TIMES = os.environ["BENCH_TIMES"]
PAIR = struct.Struct("dd")

# Seconds without any mark, with a worker that lives, after which nothing is to come any more.
QUIET = 15

app = Celery("bench", broker=os.environ["AMQP_URL"])
app.conf.update(
    task_default_queue=QUEUE,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
)
if not os.environ.get("BENCH_DEFAULTS"):
    app.conf.update(
        task_queues=[Queue(QUEUE, routing_key=QUEUE, queue_arguments={"x-queue-type": "quorum"})],
        task_default_exchange="",
        task_default_routing_key=QUEUE,
        task_acks_late=True,
        worker_prefetch_multiplier=4,
        worker_detect_quorum_queues=True,
        broker_transport_options={"confirm_publish": True},
    )
times = None


def mark(first, second):
    global times
    if times is None:
        times = os.open(TIMES, os.O_WRONLY | os.O_APPEND)
    os.write(times, PAIR.pack(first, second))


@app.task(name="noop")
def noop(sent):
    mark(sent, time.monotonic())


@app.task(name="nap")
def nap(number, seconds):
    mark(number, 0)
    time.sleep(seconds)
    mark(number, 1)


def ended():
    return os.path.getsize(TIMES) // PAIR.size


def await_ended(count):
    began = time.monotonic()
    while ended() < count:
        if time.monotonic() - began > 300:
            raise SystemExit(f"expected {count} tasks to end, {ended()} did")
        time.sleep(0.02)


def pairs(start, count):
    with open(TIMES, "rb") as file:
        file.seek(start * PAIR.size)
        return list(PAIR.iter_unpack(file.read(count * PAIR.size)))


def percentile(values, percent):
    return sorted(values)[min(len(values) * percent // 100, len(values) - 1)]


def start():
    # A group of its own, so that nothing of it survives a kill.
    return subprocess.Popen([sys.executable, os.path.realpath(__file__), "worker"], stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, start_new_session=True)


def delete_queue():
    with app.connection_for_write() as connection:
        connection.default_channel.queue_delete(QUEUE)
        # By default an exchange has the queue's name.
        connection.default_channel.exchange_delete(QUEUE)


def measure(tasks, idle):
    open(TIMES, "wb").close()
    worker = start()
    try:
        # Both processes are warm before anything counts.
        for _ in range(100):
            noop.delay(time.monotonic())
        await_ended(100)
        for _ in range(idle):
            noop.delay(time.monotonic())
            time.sleep(1 / 30)
        await_ended(100 + idle)
        waits = [(ran - sent) * 1000 for sent, ran in pairs(100, idle)]
    finally:
        worker.terminate()
        worker.wait()
    # As with ours, all is queued before the first one runs.
    for _ in range(tasks):
        noop.delay(time.monotonic())
    worker = start()
    try:
        await_ended(100 + idle + tasks)
        ran = [ran for _, ran in pairs(100 + idle, tasks)]
    finally:
        worker.terminate()
        worker.wait()
    delete_queue()
    return {"per_second": (tasks - 1) / (max(ran) - min(ran)), "p50_ms": percentile(waits, 50),
            "p99_ms": percentile(waits, 99)}


def marks(which):
    """How often each task began (0) or ended (1)."""
    counts = {}
    for number, ending in pairs(0, ended()):
        if ending == which:
            counts[number] = counts.get(number, 0) + 1
    return counts


def await_marks(least):
    """Until so many tasks have ended, or nothing comes any more."""
    seen, since = ended(), time.monotonic()
    while len(marks(1)) < least and time.monotonic() - since < QUIET:
        time.sleep(0.02)
        if ended() != seen:
            seen, since = ended(), time.monotonic()


def kill(tasks, sleep_ms, kills):
    open(TIMES, "wb").close()
    for number in range(tasks):
        nap.delay(number, sleep_ms / 1000)
    for number in range(kills):
        worker = start()
        await_marks(tasks * (number + 1) // (kills + 2))
        # In the middle of those that have begun.
        time.sleep(sleep_ms / 2000)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    worker = start()
    try:
        await_marks(tasks)
    finally:
        worker.terminate()
        worker.wait()
    delete_queue()
    begun, done = marks(0), marks(1)
    often = lambda counts: sum(count > 1 for count in counts.values())
    return {"lost": tasks - len(done), "begun_twice": often(begun), "ended_twice": often(done)}


if sys.argv[1] == "worker":
    app.worker_main(["worker", "--concurrency=2", "--pool=prefork", "--without-mingle", "--without-gossip",
                     "--loglevel=ERROR", "-Q", QUEUE])
else:
    asked = {"measure": measure, "kill": kill}[sys.argv[1]]
    print(json.dumps(asked(*map(int, sys.argv[2:]))))
