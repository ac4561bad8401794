"""What is written to a disk, a share and the network is what is read. Arguments: the disk's folder (ext4), the share, host and port that a tar of
the tree comes from, port that takes one, a seed. Prints "ok NAME" or "FAILED NAME: why" for each part. The machine restarts between the parts before
and after "sqlite_begins"."""
import ctypes, hashlib, mmap, os, random, shutil, socket, sqlite3, stat, subprocess, sys, tarfile, threading, time, traceback

disk, share, host, down, up, seed = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), int(sys.argv[6])
libc = ctypes.CDLL(None, use_errno=True)
PUNCH_HOLE, ZERO_RANGE, KEEP_SIZE, COLLAPSE = 2, 16, 1, 8
PAGE = 4096


def forget_cache():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


def describe(top):
    lines = []
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            content = ""
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                content = hashlib.sha256(open(path, "rb").read()).hexdigest()
            lines.append(f"{os.path.relpath(path, top)} {status.st_mode:o} {content}")
    return sorted(lines)


def trees():
    """One tree by three ways in and out; the host compares what comes out."""
    local = "/tmp/tree"
    os.mkdir(local)
    with socket.create_connection((host, down)) as connection, connection.makefile("rb") as file, tarfile.open(fileobj=file, mode="r|") as archive:
        archive.extractall(local)
    first = describe(f"{disk}/tree")
    assert len(first) > 300, first
    for other in f"{share}/tree", local:
        assert describe(other) == first, sorted(set(describe(other)) ^ set(first))[:4]
    subprocess.run(["cp", "-a", f"{share}/tree", f"{disk}/from-share"], check=True)
    subprocess.run(["cp", "-a", local, f"{share}/from-network"], check=True)
    forget_cache()
    with socket.create_connection((host, up)) as connection:
        with connection.makefile("wb") as file, tarfile.open(fileobj=file, mode="w|") as archive:
            archive.add(f"{disk}/from-share", arcname=".")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b"taken"
    shutil.rmtree(local)


def fallocate(file, mode, offset, length):
    if libc.fallocate(file, mode, ctypes.c_long(offset), ctypes.c_long(length)) != 0:
        raise OSError(ctypes.get_errno(), "fallocate")


def file_operations():
    """Like fsx: random changes to a file, known to a model in memory."""
    chance = random.Random(seed)
    limit = 600_000
    path = f"{disk}/fsx"
    model = bytearray()
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    direct = os.open(path, os.O_RDONLY | os.O_DIRECT)
    block = mmap.mmap(-1, 64 * PAGE)
    trail = []

    def write(offset, data):
        if len(model) < offset:
            model.extend(bytes(offset - len(model)))
        model[offset:offset + len(data)] = data

    for step in range(4000):
        kind = chance.randrange(12)
        offset = chance.randrange(limit)
        data = chance.randbytes(chance.choice([1, 100, 511, 4096, 4097, 70_000]))
        trail = trail[-8:] + [(step, kind, offset, len(data))]
        end = min(len(model), offset + len(data))
        if kind <= 2:
            assert os.pwrite(file, data, offset) == len(data)
            write(offset, data)
        elif kind == 3:
            assert os.pread(file, len(data), offset) == bytes(model[offset:offset + len(data)]), trail
        elif kind == 4:
            os.ftruncate(file, offset)
            del model[offset:]
            model.extend(bytes(offset - len(model)))
        elif kind == 5 and offset < end:
            fallocate(file, PUNCH_HOLE | KEEP_SIZE, offset, end - offset)
            model[offset:end] = bytes(end - offset)
        elif kind == 6:
            fallocate(file, ZERO_RANGE, offset, len(data))
            write(offset, bytes(len(data)))
        elif kind == 7 and model:
            with mmap.mmap(file, len(model)) as memory:
                at = offset % len(model)
                part = data[:len(model) - at]
                assert memory[at:at + 100] == model[at:at + 100], trail
                memory[at:at + len(part)] = part
                model[at:at + len(part)] = part
        elif kind == 8:
            # Past the page cache: what the disk itself has.
            start = offset // PAGE * PAGE
            count = os.preadv(direct, [block], start)
            assert block[:count] == bytes(model[start:start + count]) and count == max(0, min(len(block), len(model) - start)), trail
        elif kind == 9 and step % 8 == 0:
            os.fsync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        elif kind == 10 and len(model) > 4 * PAGE:
            start = offset % (len(model) - 3 * PAGE) // PAGE * PAGE
            fallocate(file, COLLAPSE, start, PAGE)
            del model[start:start + PAGE]
        elif kind == 11 and step % 64 == 0:
            forget_cache()
        if step % 200 == 0:
            assert os.pread(file, limit * 2, 0) == bytes(model), trail
    forget_cache()
    assert os.pread(file, limit * 2, 0) == bytes(model), trail


def connect():
    connection = sqlite3.connect(f"{disk}/data.db", timeout=60, isolation_level=None)
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def sqlite_begins():
    """Writers move amounts between accounts; the machine restarts in the midst, as at a power failure."""
    connection = connect()
    connection.execute("PRAGMA journal_mode = WAL" if seed % 2 else "PRAGMA journal_mode = DELETE")
    connection.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, amount INTEGER, note BLOB)")
    connection.execute("CREATE TABLE done (writer INTEGER, number INTEGER, PRIMARY KEY (writer, number))")
    connection.executemany("INSERT INTO account VALUES (?, 100, randomblob(300))", [(number,) for number in range(1000)])
    committed = [0, 0, 0]

    def work(writer):
        mine = connect()
        chance = random.Random(seed + writer)
        while True:
            mine.execute("BEGIN IMMEDIATE")
            for _ in range(chance.randrange(1, 30)):
                amount = chance.randrange(100)
                mine.execute("UPDATE account SET amount = amount - ?, note = randomblob(?) WHERE id = ?", (amount, chance.randrange(900), chance.randrange(1000)))
                mine.execute("UPDATE account SET amount = amount + ? WHERE id = ?", (amount, chance.randrange(1000)))
            mine.execute("INSERT INTO done VALUES (?, ?)", (writer, committed[writer] + 1))
            mine.execute("COMMIT")
            committed[writer] += 1

    for writer in range(3):
        threading.Thread(target=work, args=(writer,), daemon=True).start()
    end = time.time() + 60
    while sum(committed) < 60 and time.time() < end:
        time.sleep(random.Random(seed).random() / 10)
    # What is committed must survive; the share has another way to the host.
    with open(f"{share}/committed", "w") as file:
        file.write(" ".join(str(count) for count in committed))
    print("ok sqlite_begins", flush=True)
    subprocess.run(["reboot", "-f"]) if shutil.which("reboot") else libc.reboot(0x01234567)


def sqlite_goes_on():
    counts = [int(count) for count in open(f"{share}/committed").read().split()]
    assert sum(counts) >= 60, counts
    connection = connect()
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("SELECT sum(amount), count(*) FROM account").fetchone() == (100_000, 1000)
    for writer, count in enumerate(counts):
        found = connection.execute("SELECT count(*), max(number) FROM done WHERE writer = ?", (writer,)).fetchone()
        assert found[0] == (found[1] or 0) >= count, (writer, found, count)


parts = [sqlite_goes_on] if os.path.exists(f"{share}/committed") else [trees, file_operations, sqlite_begins]
for part in parts:
    start = time.time()
    try:
        part()
        print(f"ok {part.__name__} ({time.time() - start:.1f} s)", flush=True)
    except Exception as error:
        print(f"FAILED {part.__name__}: seed {seed}: {error!r} {traceback.extract_tb(error.__traceback__)[1:]}", flush=True)
        if part is sqlite_begins:
            break
