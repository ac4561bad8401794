# fio with verification, then PostgreSQL under load until somebody ends the machine; at the next start, what it left. Arguments: the disk.
mkdir -p /disk /dev/shm
mount -t tmpfs tmpfs /tmp && mount -t tmpfs tmpfs /dev/shm
chmod 1777 /tmp /dev/shm
modprobe ext4
mount -t ext4 "$1" /disk || exit 1
cd /tmp
ip link set lo up 2>/dev/null || ifconfig lo up
bin=$(echo /usr/lib/postgresql/*/bin)
export PGHOST=/tmp PGUSER=pg PGDATABASE=postgres LC_ALL=C HOME=/tmp

own() {
    setpriv --reuid 1000 --regid 1000 --clear-groups "$@"
}

server() {
    own "$bin/pg_ctl" -w -t 200 -D /disk/pg/data -l /disk/pg/log -o "-k /tmp -c listen_addresses= -c shared_buffers=32MB -c max_wal_size=64MB -c dynamic_shared_memory_type=mmap" "$1" > /dev/null || {
        cat /disk/pg/log
        exit 1
    }
}

ask() {
    "$bin/psql" -X -A -t -q -c "$1"
}

grep -q '^pg:' /etc/passwd || echo 'pg:x:1000:1000::/tmp:/bin/sh' >> /etc/passwd
if [ ! -e /disk/pg ]; then
    mkdir /disk/fio
    for work in "randrw --bs=4k --iodepth=8" "write --bs=64k --iodepth=4" "randrw --bs=1m --iodepth=4" "randwrite --bsrange=512-256k --iodepth=16 --bs_unaligned"; do
        direct=1
        case $work in *unaligned*) direct=0 ;; esac
        if fio --name=check --directory=/disk/fio --ioengine=libaio --direct=$direct --size=24m --fsync=64 --verify=crc32c --verify_fatal=1 --do_verify=1 --randseed="$2" --rw=$work > /tmp/fio 2>&1; then
            echo "fio ok $work"
        else
            cat /tmp/fio
        fi
        rm -f /disk/fio/*
    done
    mkdir /disk/pg
    chown 1000:1000 /disk/pg
    own "$bin/initdb" -D /disk/pg/data --locale=C -A trust > /disk/pg.log 2>&1 || cat /disk/pg.log
    server start
    "$bin/pgbench" -i -q -s 2 > /dev/null 2>&1
    ask "CREATE TABLE told (number int PRIMARY KEY)"
    "$bin/pgbench" -c 4 -T 10000 > /tmp/bench 2>&1 &
    number=0
    while :; do
        number=$((number + 1))
        ask "INSERT INTO told VALUES ($number)" && echo "told $number."
    done
fi
server start
echo "count $(ask 'SELECT count(*) FROM told') $(ask 'SELECT max(number) FROM told')"
echo "difference $(ask 'SELECT (SELECT sum(abalance) FROM pgbench_accounts) - (SELECT sum(delta) FROM pgbench_history)') $(ask 'SELECT (SELECT sum(tbalance) FROM pgbench_tellers) - (SELECT sum(bbalance) FROM pgbench_branches)')"
echo "history $(ask 'SELECT count(*) FROM pgbench_history')"
"$bin/pg_dumpall" > /dev/null && echo "dump ok"
server stop
umount /disk && echo "unmounted"
