"""K16: what honest programs do, where a filter may stand in the way."""
import asyncio
import concurrent.futures
import mmap
import multiprocessing
import select
import shutil
import socket
import sqlite3
import ssl
import subprocess
import tempfile


def double(n):
    return 2 * n


def with_threads():
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return sum(pool.map(double, range(100)))


def with_processes():
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(2, context) as pool:
        return sum(pool.map(double, range(10)))


def with_queue():
    queue = multiprocessing.Queue()
    child = multiprocessing.Process(target=queue.put, args=("said",))
    child.start()
    said = queue.get(timeout=60)
    child.join()
    return said


def with_subprocess():
    first = subprocess.run(["sh", "-c", "cat; echo $0", "sub"], input="a\n",
                           capture_output=True, text=True, timeout=60)
    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    child.terminate()
    return first.stdout + str(child.wait(60))


async def echo():
    async def serve(reader, writer):
        writer.write(await reader.readline())
        writer.close()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname())
        writer.write(b"line\n")
        said = (await reader.readline()).decode()
        writer.close()
    child = await asyncio.create_subprocess_exec(
        "echo", "child", stdout=subprocess.PIPE)
    out, _ = await child.communicate()
    return said + out.decode() + await asyncio.to_thread(str, 5)


def with_database():
    with tempfile.TemporaryDirectory() as folder:
        base = sqlite3.connect(folder + "/base")
        base.execute("pragma journal_mode = wal")
        with base:
            base.execute("create table t (n)")
            base.executemany("insert into t values (?)",
                             [(n,) for n in range(100)])
        total = base.execute("select sum(n) from t").fetchone()[0]
        base.close()
    return total


def with_tls():
    """The first words of a handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    side = ssl.create_default_context().wrap_bio(
        incoming, outgoing, server_hostname="example.com")
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read(1) == b"\x16"


def with_files():
    with tempfile.TemporaryDirectory(dir="/output") as folder:
        with open(folder + "/a", "wb") as file:
            file.write(b"x" * 8192)
            file.flush()
            os.fsync(file.fileno())
        shutil.copy2(folder + "/a", folder + "/b")
        os.link(folder + "/a", folder + "/c")
        os.symlink("a", folder + "/d")
        with open(folder + "/b", "r+b") as file:
            area = mmap.mmap(file.fileno(), 0)
            area[:3] = b"abc"
            area.flush()
        os.utime(folder + "/b", (1, 1))
        return sorted(os.listdir(folder)), os.stat(folder + "/b").st_mtime


def with_sockets():
    left, right = socket.socketpair()
    files = socket.send_fds(left, [b"x"], [0]) and socket.recv_fds(
        right, 1, 1)[1]
    poller = select.epoll()
    poller.register(right, select.EPOLLIN)
    left.send(b"y")
    server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    other = socket.create_connection(server.getsockname()[:2])
    other.close()
    return len(files), len(poller.poll(60))


def with_signals():
    said = []
    signal.signal(signal.SIGALRM, lambda *_: said.append("alarm"))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    time.sleep(0.1)
    return said


tell(threads=with_threads())
tell(processes=with_processes(), queue=with_queue())
tell(subprocess=with_subprocess(), asyncio=asyncio.run(echo()))
tell(sqlite=with_database(), tls=with_tls(), files=with_files())
tell(sockets=with_sockets(), signals=with_signals(),
     random=len(os.urandom(8)), cpus=len(os.sched_getaffinity(0)) > 0)
