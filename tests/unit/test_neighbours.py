"""Processes that speak for each other, over files that are laid out as Triton's."""

import fcntl
import struct

import pytest

from python_backends.triton.neighbours import LONGEST_S, LOOK_S, Neighbours

CONTROL, QUEUE = 336, 496
"""Where Triton 2.51 puts its control block and the queue of messages to the process."""
HEALTH = CONTROL + 16
PREFIX = "rag0_"


class Server:
    """The regions of some processes, in a folder for /dev/shm; the clock is set by hand."""

    def __init__(self, folder):
        self.folder, self.now_s, self.count = folder, 1000.0, 0

    def region(self, queue=QUEUE, size=1000, health=1):
        self.count += 1
        path = self.folder / f"{PREFIX}{self.count:036}"
        memory = bytearray(8192)
        memory[HEALTH] = health
        struct.pack_into("q", memory, HEALTH + 88, queue)
        struct.pack_into("Qqii", memory, QUEUE + 16 + 104, size, 656, 7, 7)
        path.write_bytes(memory)
        return path

    def process(self):
        return Neighbours(self.region(), CONTROL, lambda: self.now_s)

    def tick(self, process, after_s=LOOK_S):
        self.now_s += after_s
        process.tick()


@pytest.fixture
def server(tmp_path):
    return Server(tmp_path)


def write(process, offset, *values, kind="B"):
    """As Triton does."""
    with process._path.open("r+b") as file:
        file.seek(offset)
        file.write(struct.pack(f"{len(values)}{kind}", *values))


def is_said_to_be_well(process):
    return process._path.read_bytes()[HEALTH] == 1


def can_be_claimed(region):
    with region.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_a_process_that_stands_still_is_said_to_be_well(server):
    one, other = server.process(), server.process()
    write(other, HEALTH, 0)
    server.tick(one)
    assert is_said_to_be_well(other)


def test_a_process_of_another_server_is_left_alone(server, tmp_path):
    one = server.process()
    foreign = server.region(health=0).rename(tmp_path / f"rag1_{0:036}")
    server.tick(one)
    assert foreign.read_bytes()[HEALTH] == 0


def test_nobody_speaks_for_a_process_that_has_ended(server):
    one, other = server.process(), server.process()
    server.tick(one)
    other._own.close()  # as the kernel does
    write(other, HEALTH, 0)
    server.tick(one)
    assert not is_said_to_be_well(other)


@pytest.mark.parametrize(
    ("still_s", "is_kept"), [(LONGEST_S - 0.1, True), (LONGEST_S + 0.1, False)]
)
def test_nobody_speaks_for_long_for_a_process_that_stands_still(server, still_s, is_kept):
    one, other = server.process(), server.process()
    server.tick(one, LOOK_S)
    server.tick(other, 0)
    write(other, HEALTH, 0)
    server.tick(one, still_s)
    assert is_said_to_be_well(other) == is_kept


def test_a_process_that_looks_whether_another_lives_does_not_claim_it(server):
    one, region = server.process(), server.region(health=0)
    with region.open("r+b") as file:
        file.seek(CONTROL + 8)
        file.write(struct.pack("d", server.now_s))
    server.tick(one)
    assert can_be_claimed(region)


def test_processes_that_come_and_go_are_found(server):
    one, gone = server.process(), server.process()
    server.tick(one)
    gone._path.unlink()
    new = server.process()
    write(new, HEALTH, 0)
    server.tick(one)
    assert is_said_to_be_well(new)
    assert list(one._others) == [new._path.name]


def test_a_region_that_triton_has_just_made_is_looked_at_again(server):
    one = server.process()
    region = server.region()
    full = region.read_bytes()
    region.write_bytes(b"")
    server.tick(one)
    region.write_bytes(full)
    new = Neighbours(region, CONTROL, lambda: server.now_s)
    write(new, HEALTH, 0)
    server.tick(one)
    assert is_said_to_be_well(new)


@pytest.mark.parametrize("fault", [{"queue": 0}, {"queue": 5000}, {"size": 5}])
def test_memory_that_is_laid_out_otherwise_is_refused(server, fault):
    with pytest.raises(ValueError, match="no "):
        Neighbours(server.region(**fault), CONTROL)
