"""What a guest does with a host folder. Arguments: the share, a read-only share, a folder of the guest's own, a seed.
Prints "ok NAME" or "FAILED NAME: why" for each part."""
import errno, fcntl, hashlib, mmap, os, random, shutil, socket, stat, subprocess, sys, time, traceback

share, readonly, local, seed = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])


def fails(code, action, *arguments):
    try:
        action(*arguments)
    except OSError as error:
        assert error.errno == code, f"{errno.errorcode.get(error.errno)} and not {errno.errorcode[code]}"
        return
    raise AssertionError(f"no {errno.errorcode[code]}")


def put(path, text):
    with open(path, "w") as file:
        file.write(text)


def get(path):
    with open(path) as file:
        return file.read()


def describe(top):
    """Each path with its type, permissions, time and content."""
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
            when = status.st_mtime_ns if stat.S_ISREG(status.st_mode) else 0
            lines.append(f"{os.path.relpath(path, top)} {status.st_mode:o} {when} {content}")
    return sorted(lines)


def tree():
    # The host has made "tree"; it compares "back" with it.
    subprocess.run(["cp", "-a", f"{share}/tree", f"{local}/tree"], check=True)
    subprocess.run(["cp", "-a", f"{local}/tree", f"{share}/back"], check=True)
    for copy in f"{local}/tree", f"{share}/back":
        assert describe(f"{share}/tree") == describe(copy), sorted(set(describe(f"{share}/tree")) ^ set(describe(copy)))[:4]


def metadata():
    os.makedirs("meta/sub")
    os.chdir("meta")
    put("file", "one")
    os.chmod("file", 0o640)
    os.utime("file", (1_000_000_000, 123_456_789))
    status = os.stat("file")
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid, status.st_size) == (0o640, 0, 0, 3), status
    assert (status.st_atime_ns, status.st_mtime_ns) == (1_000_000_000 * 10**9, 123_456_789 * 10**9), status
    os.link("file", "second")
    assert os.stat("file").st_nlink == 2 and os.path.samefile("file", "second")
    os.symlink("/no/such/place", "link")
    assert os.readlink("link") == "/no/such/place"
    os.symlink("file", "near")
    assert get("near") == "one"
    put("other", "two")
    os.rename("other", "second")
    assert get("second") == "two" and os.stat("file").st_nlink == 1
    os.rename("second", "sub/moved")
    fails(errno.ENOTEMPTY, os.rmdir, "sub")
    fails(errno.ENOTEMPTY, os.rename, "../meta/empty" if os.mkdir("empty") else "empty", "sub")
    fails(errno.ENOENT, os.rename, "nothing", "x")
    fails(errno.EEXIST, os.mkdir, "sub")
    fails(errno.ENOTDIR, os.listdir, "file")
    fails(errno.ENAMETOOLONG, put, "x" * 256, "")
    put("y" * 255, "long")
    os.mkfifo("fifo")
    fails(errno.EPERM, os.mknod, "device", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    file = open("gone", "w+")
    os.unlink("gone")
    file.write("still here")
    file.flush()
    file.seek(0)
    assert file.read() == "still here" and os.fstat(file.fileno()).st_size == 10
    put("big", "")
    os.truncate("big", 5 << 30)
    assert os.stat("big").st_size == 5 << 30
    file = open("big", "r+b")
    file.seek(-3, 2)
    file.write(b"end")
    os.fsync(file.fileno())
    os.fdatasync(file.fileno())
    file.close()
    os.unlink("big")
    figures = os.statvfs(".")
    assert figures.f_blocks > figures.f_bavail > 0 and figures.f_namemax == 255


def owners():
    put("owned", "x")
    os.chown("owned", 1000, 1001)
    os.chmod("owned", 0o4755)
    status = os.stat("owned")
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (1000, 1001, 0o4755), status
    os.setxattr("owned", "user.colour", b"blue")
    assert os.getxattr("owned", "user.colour") == b"blue"
    assert os.listxattr("owned") == ["user.colour"], os.listxattr("owned")
    os.removexattr("owned", "user.colour")
    fails(errno.ENODATA, os.getxattr, "owned", "user.colour")


def outside():
    # The link leads to the guest's own files: the host never follows it.
    put(f"{local}/marker", "of the guest")
    os.symlink(f"{local}/marker", "out")
    assert get("out") == "of the guest"
    fails(errno.ENOENT, get, "escape")
    assert sorted(os.listdir(os.path.join(share, ".."))) == sorted(os.listdir(os.path.dirname(share)))


def locks():
    put("locked", "0" * 100)
    with open("locked", "r+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 10, 20)

        def attempt(operation):
            if os.fork() == 0:
                try:
                    with open("locked", "r+") as mine:
                        operation(mine)
                    os._exit(0)
                except BlockingIOError:
                    os._exit(1)
            return os.waitstatus_to_exitcode(os.wait()[1])

        assert attempt(lambda mine: fcntl.lockf(mine, fcntl.LOCK_SH | fcntl.LOCK_NB, 5, 25)) == 1
        assert attempt(lambda mine: fcntl.lockf(mine, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 0)) == 0
        fcntl.lockf(file, fcntl.LOCK_UN, 10, 20)
        assert attempt(lambda mine: fcntl.lockf(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)) == 0
        fcntl.flock(file, fcntl.LOCK_EX)
        assert attempt(lambda mine: fcntl.flock(mine, fcntl.LOCK_SH | fcntl.LOCK_NB)) == 1

    # The host holds a lock on this file until the guest asks for it.
    with open("hostlock", "r+") as file:
        fails(errno.EAGAIN, fcntl.lockf, file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        put("release", "")
        fcntl.lockf(file, fcntl.LOCK_EX)


def host_changes():
    put("ready", "")
    end = time.time() + 60
    while not os.path.exists("answer") or get("answer") != "from the host, and more":
        assert time.time() < end, "the host's file did not come"
        time.sleep(0.01)
    assert "answer" in os.listdir(".")


def large_folder():
    os.mkdir("large")
    names = {f"file {number} ünï 文 🙂" for number in range(2000)}
    for name in names:
        os.close(os.open(f"large/{name}", os.O_CREAT | os.O_WRONLY))
    assert set(os.listdir("large")) == names
    shutil.rmtree("large")


def open_files():
    """What a file is to those who have it open, whatever happens to its name."""
    os.mkdir("opened")
    os.chdir("opened")
    ends = [os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND) for _ in range(2)]
    for number in range(40):
        os.write(ends[number % 2], f"{number}\n".encode())
    assert get("log") == "".join(f"{number}\n" for number in range(40)), get("log")
    os.lseek(ends[0], 0, 0)
    os.write(ends[0], b"end")
    assert get("log").endswith("39\nend")

    put("target", "old")
    put("source", "new")
    with open("target") as old:
        os.rename("source", "target")
        assert old.read() == "old" and get("target") == "new"
    with open("target", "r+") as file:
        os.rename("target", "elsewhere")
        put("target", "other")
        file.write("NEW")
        file.flush()
        assert get("elsewhere") == "NEW" and get("target") == "other"

    put("mapped", "x" * 10_000)
    with open("mapped", "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        memory[5000:5005] = b"hello"
        memory.flush()
        with open("mapped", "rb") as again:
            assert again.read()[4999:5006] == b"xhellox"

    os.mkdir("folder")
    put("folder/in", "inside")
    file = open("folder/in")
    shutil.rmtree("folder")
    assert file.read() == "inside" and not os.path.exists("folder")
    fails(errno.EEXIST, os.open, "target", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    fails(errno.ENOTDIR, os.open, "target", os.O_DIRECTORY)
    os.symlink("target", "link")
    fails(errno.ELOOP, os.open, "link", os.O_RDONLY | os.O_NOFOLLOW)
    os.close(os.open("target", os.O_WRONLY | os.O_TRUNC))
    assert os.stat("target").st_size == 0
    os.setxattr("target", "user.large", b"v" * 3000)
    assert os.getxattr("target", "user.large") == b"v" * 3000


def odd_files():
    """Names of any bytes, deep folders, and files that are none."""
    os.mkdir(b"odd")
    os.chdir(b"odd")
    names = {b"line\nfeed", b"back\\slash", b"-rf", b"\xff\xfe not UTF-8", "\u00e9".encode(), "e\u0301".encode(), b" ", b"...", b"*?", b"n" * 255}
    for name in names:
        with open(name, "wb") as file:
            file.write(name)
    assert set(os.listdir(b".")) == names
    assert all(open(name, "rb").read() == name for name in names)
    fails(errno.ENAMETOOLONG, open, b"n" * 256, "wb")
    top = os.getcwd()
    for _ in range(60):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
    put("deep", "down here")
    assert get("deep") == "down here"
    os.chdir(top)
    shutil.rmtree("d" * 200)

    for kind in stat.S_IFBLK, stat.S_IFCHR:
        fails(errno.EPERM, os.mknod, "node", kind | 0o666, os.makedev(1, 3))
    assert not os.path.exists("node")
    os.mkfifo("pipe")
    if os.fork() == 0:
        put("pipe", "through the pipe")
        os._exit(0)
    assert get("pipe") == "through the pipe"
    os.wait()
    server = socket.socket(socket.AF_UNIX)
    server.bind("socket")
    server.listen()
    client = socket.socket(socket.AF_UNIX)
    client.connect("socket")
    server.accept()[0].send(b"hello")
    assert client.recv(5) == b"hello" and stat.S_ISSOCK(os.stat("socket").st_mode)

    # A FIFO of the host is a place to meet in the guest, and nothing more.
    os.close(os.open(f"{share}/hostpipe", os.O_RDONLY | os.O_NONBLOCK))
    assert stat.S_ISFIFO(os.stat(f"{share}/hostpipe").st_mode)
    os.chdir(share)
    shutil.rmtree(b"odd")


def many_at_once():
    """Eight processes that make, rename and remove the same names."""
    os.mkdir("crowd")
    for number in range(8):
        if os.fork() == 0:
            chance = random.Random(seed + number)
            for _ in range(300):
                one, two = (f"crowd/{chance.randrange(6)}" for _ in range(2))
                try:
                    [lambda: put(one, two), lambda: os.rename(one, two), lambda: os.unlink(one), lambda: os.link(one, two), lambda: get(one)][chance.randrange(5)]()
                except OSError as error:
                    if error.errno not in (errno.ENOENT, errno.EEXIST):
                        print(f"many_at_once: {error!r}", flush=True)
                        os._exit(1)
            os._exit(0)
    assert all(os.waitstatus_to_exitcode(os.wait()[1]) == 0 for _ in range(8))
    assert set(os.listdir("crowd")) <= set("012345")
    shutil.rmtree("crowd")


def huge_folder():
    # The host has made it, and says in its name how many files it has.
    folder, = (name for name in os.listdir(".") if name.startswith("huge-"))
    assert {entry.name for entry in os.scandir(folder)} == {f"{number}" for number in range(int(folder[5:]))}


def read_only():
    os.chdir(readonly)
    assert get("tree/plain") != ""
    fails(errno.EROFS, put, "new", "")
    fails(errno.EROFS, put, "tree/plain", "")
    fails(errno.EROFS, os.unlink, "tree/plain")
    fails(errno.EROFS, os.mkdir, "new")
    fails(errno.EROFS, os.chmod, "tree/plain", 0o777)


def random_content():
    """Like fsx: the same random changes to a file on the share and to one of the guest's own."""
    chance = random.Random(seed)
    paths = ["fsx", f"{local}/fsx"]
    files = [open(path, "w+b", buffering=0) for path in paths]
    limit = 300_000
    for step in range(1500):
        kind = chance.randrange(7)
        offset = chance.randrange(limit)
        data = chance.randbytes(chance.choice([1, 100, 4096, 70_000]))
        results = []
        for number, file in enumerate(files):
            if kind <= 1:
                results.append(os.pwrite(file.fileno(), data, offset))
            elif kind == 2:
                results.append(os.pread(file.fileno(), len(data), offset))
            elif kind == 3:
                os.ftruncate(file.fileno(), offset)
            elif kind == 4:
                with open(paths[number], "ab", buffering=0) as end:
                    end.write(data)
            elif kind == 5 and os.fstat(file.fileno()).st_size > 0:
                size = os.fstat(file.fileno()).st_size
                with mmap.mmap(file.fileno(), size) as memory:
                    at = offset % size
                    results.append(memory[at:at + 100])
                    part = data[:size - at]
                    memory[at:at + len(part)] = part
                    memory.flush()
            elif kind == 6:
                file.close()
                os.rename(paths[number], paths[number] + ".new")
                os.rename(paths[number] + ".new", paths[number])
                files[number] = open(paths[number], "r+b", buffering=0)
            results.append(os.fstat(files[number].fileno()).st_size)
        half = len(results) // 2
        assert results[:half] == results[half:], f"step {step}, kind {kind}: results differ"
        if step % 50 == 0:
            assert open(paths[0], "rb").read() == open(paths[1], "rb").read(), f"step {step}: contents differ"
    assert open(paths[0], "rb").read() == open(paths[1], "rb").read()


def random_names():
    """The same random changes of names on the share and in a folder of the guest's own, errors included."""
    chance = random.Random(seed + 1)
    tops = ["names", f"{local}/names"]
    for top in tops:
        os.mkdir(top)

    def path():
        return "/".join(chance.choice("abc") for _ in range(chance.randrange(1, 4)))

    for step in range(1500):
        kind = chance.randrange(10)
        first, second, number = path(), path(), chance.randrange(4096)
        results = []
        for top in tops:
            one, two = f"{top}/{first}", f"{top}/{second}"
            try:
                results.append([
                    lambda: put(one, str(number)), lambda: os.mkdir(one), lambda: os.rename(one, two), lambda: os.unlink(one),
                    lambda: os.rmdir(one), lambda: os.link(one, two, follow_symlinks=False), lambda: os.symlink(second, one),
                    lambda: os.chmod(one, number & 0o777 | 0o700), lambda: sorted(os.listdir(one)),
                    lambda: (os.lstat(one).st_mode, os.lstat(one).st_nlink if os.path.isfile(one) else 0)][kind]())
            except OSError as error:
                results.append(errno.errorcode[error.errno])
        assert results[0] == results[1], f"step {step}, kind {kind}, {first}, {second}: {results}"

    def names(top):
        return [line.split(" ")[:2] + line.split(" ")[3:] for line in describe(top)]

    assert names(tops[0]) == names(tops[1])


def git():
    def run(*arguments):
        subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@y", *arguments], check=True, stdout=subprocess.DEVNULL)

    run("init", "-q", "repo")
    os.chdir("repo")
    for number in range(300):
        os.makedirs(f"d{number % 20}", exist_ok=True)
        put(f"d{number % 20}/f{number}", f"text {number}\n" * 20)
    run("add", ".")
    run("commit", "-q", "-m", "first")
    put("d1/f1", "changed")
    os.rename("d2/f2", "d2/g2")
    status = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    assert status.split("\n")[:-1] == [" M d1/f1", " D d2/f2", "?? d2/g2"], status
    run("add", "-A")
    run("commit", "-q", "-m", "second")
    run("gc", "-q")
    run("fsck", "--strict")
    os.chdir("..")
    run("clone", "-q", "--no-hardlinks", "repo", "clone")
    assert describe("repo/d2")[0].split(" ")[0] == describe("clone/d2")[0].split(" ")[0]


for part in [tree, metadata, owners, outside, locks, host_changes, open_files, odd_files, many_at_once, large_folder, huge_folder, read_only, random_content, random_names, git]:
    os.chdir(share)
    start = time.time()
    try:
        part()
        print(f"ok {part.__name__} ({time.time() - start:.1f} s)", flush=True)
    except Exception as error:
        print(f"FAILED {part.__name__}: seed {seed}: {error!r} {traceback.extract_tb(error.__traceback__)[1:]}", flush=True)
