"""Celery beside our queue: the same no-op, on a quorum queue of the same broker, with confirms and late acknowledgements.

    peer.py measure TASKS IDLE_TASKS   publishes and measures; prints one line of JSON
    peer.py worker                     what `measure` starts: one worker with two processes

The environment gives AMQP_URL, BENCH_QUEUE and BENCH_TIMES (a file to which each task appends when it was sent and when
its body ran, both by the clock that all processes of the machine share).
"""

import json
import os
import struct
import subprocess
import sys
import time

from celery import Celery
from kombu import Queue

QUEUE = os.environ["BENCH_QUEUE"]
TIMES = os.environ["BENCH_TIMES"]
PAIR = struct.Struct("dd")

app = Celery("bench", broker=os.environ["AMQP_URL"])
app.conf.update(
    task_queues=[Queue(QUEUE, routing_key=QUEUE, queue_arguments={"x-queue-type": "quorum"})],
    task_default_queue=QUEUE,
    task_default_exchange="",
    task_default_routing_key=QUEUE,
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=4,
    worker_detect_quorum_queues=True,
    broker_transport_options={"confirm_publish": True},
    broker_connection_retry_on_startup=True,
)
times = None


@app.task(name="noop")
def noop(sent):
    global times
    if times is None:
        times = os.open(TIMES, os.O_WRONLY | os.O_APPEND)
    os.write(times, PAIR.pack(sent, time.monotonic()))


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


def measure(tasks, idle):
    open(TIMES, "wb").close()
    worker = subprocess.Popen([sys.executable, os.path.realpath(__file__), "worker"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
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
    worker = subprocess.Popen([sys.executable, os.path.realpath(__file__), "worker"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        await_ended(100 + idle + tasks)
        ran = [ran for _, ran in pairs(100 + idle, tasks)]
    finally:
        worker.terminate()
        worker.wait()
    with app.connection_for_write() as connection:
        connection.default_channel.queue_delete(QUEUE)
    return {"per_second": (tasks - 1) / (max(ran) - min(ran)), "p50_ms": percentile(waits, 50),
            "p99_ms": percentile(waits, 99)}


if sys.argv[1] == "worker":
    app.worker_main(["worker", "--concurrency=2", "--pool=prefork", "--without-mingle", "--without-gossip",
                     "--loglevel=ERROR", "-Q", QUEUE])
else:
    print(json.dumps(measure(int(sys.argv[2]), int(sys.argv[3]))))
