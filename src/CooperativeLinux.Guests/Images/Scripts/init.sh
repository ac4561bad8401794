#!/colinux/busybox sh
# First process of a guest: mounts what programs expect, loads the drivers of the devices that are there, and
# then runs /colinux/run, or the real root file system, or a shell. Settings come from the kernel command line,
# see docs/guests.md.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/colinux/bin
export HOME=/root
bb=/colinux/busybox
umask 022

$bb mount -t proc -o nosuid,nodev,noexec proc /proc
$bb mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
if ! $bb mount -t devtmpfs -o nosuid,mode=0755 dev /dev 2>/dev/null; then
    $bb mount -t tmpfs -o nosuid,mode=0755 dev /dev
    $bb mdev -s 2>/dev/null
    [ -c /dev/null ] || $bb mknod -m 666 /dev/null c 1 3
    [ -c /dev/zero ] || $bb mknod -m 666 /dev/zero c 1 5
    [ -c /dev/random ] || $bb mknod -m 666 /dev/random c 1 8
    [ -c /dev/urandom ] || $bb mknod -m 666 /dev/urandom c 1 9
    [ -c /dev/tty ] || $bb mknod -m 666 /dev/tty c 5 0
    [ -c /dev/console ] || $bb mknod -m 600 /dev/console c 5 1
    [ -c /dev/ptmx ] || $bb mknod -m 666 /dev/ptmx c 5 2
    [ -c /dev/hvc0 ] || $bb mknod -m 600 /dev/hvc0 c 229 0
fi
$bb mkdir -p /dev/pts /dev/shm
$bb mount -t devpts -o nosuid,noexec,gid=5,mode=620,ptmxmode=666 devpts /dev/pts
$bb mount -t tmpfs -o nosuid,nodev,mode=1777 shm /dev/shm
$bb mount -t tmpfs -o nosuid,nodev,mode=0755 run /run
$bb ln -sf /proc/self/fd /dev/fd
$bb ln -sf fd/0 /dev/stdin
$bb ln -sf fd/1 /dev/stdout
$bb ln -sf fd/2 /dev/stderr

# Words of the command line are split at blanks; only colinux.script may hold blanks, in double quotes.
read -r cmdline < /proc/cmdline
name=colinux mounts= folder=/root root= rootfstype= rootflags= rootmode=ro init=/sbin/init debug= script= net=auto balloon=
for word in $cmdline; do
    value=${word#*=}
    case $word in
        colinux.hostname=*) name=$value ;;
        colinux.mount=*) mounts="$mounts $value" ;;
        colinux.folder=*) folder=$value ;;
        colinux.net=*) net=$value ;;
        colinux.debug) debug=1 ;;
        colinux.balloon) balloon=1 ;;
        root=*) root=$value ;;
        rootfstype=*) rootfstype=$value ;;
        rootflags=*) rootflags=$value ;;
        init=*) init=$value ;;
        ro) rootmode=ro ;;
        rw) rootmode=rw ;;
    esac
done
case $cmdline in
    *'colinux.script="'*) script=${cmdline#*colinux.script=\"} script=${script%%\"*} ;;
    *'"colinux.script='*) script=${cmdline#*\"colinux.script=} script=${script%%\"*} ;;
    *colinux.script=*) script=${cmdline#*colinux.script=} script=${script%% *} ;;
esac

# What drivers say belongs to the kernel log; from here on the console is the programs'.
[ -n "$debug" ] || $bb dmesg -n 1
$bb hostname "$name"

# The drivers of the devices that are there, found by their aliases as udev would.
for alias in /sys/bus/xen/devices/*/modalias; do
    [ -r "$alias" ] && read -r alias < "$alias" && modprobe -q "$alias" 2>/dev/null
done

if [ -n "$root" ]; then
    case $root in
        /dev/*|UUID=*|LABEL=*) ;;
        *) echo "colinux: cannot use root=$root: name a device, UUID= or LABEL=" ;;
    esac
    modprobe -q "${rootfstype:-ext4}"
    tries=0
    while :; do
        device=$root
        case $root in UUID=*|LABEL=*) device=$($bb findfs "$root" 2>/dev/null) ;; esac
        [ -b "$device" ] && break
        tries=$((tries + 1))
        if [ $tries -gt 100 ]; then
            echo "colinux: the root device $root did not appear"
            break
        fi
        $bb sleep 0.1
    done
    $bb mkdir -p /newroot
    if [ -b "$device" ] && $bb mount ${rootfstype:+-t "$rootfstype"} -o "$rootmode${rootflags:+,$rootflags}" "$device" /newroot; then
        if [ -x "/newroot$init" ] || [ -L "/newroot$init" ]; then
            for place in dev proc sys run; do
                [ -d /newroot/$place ] && $bb mount --move /$place /newroot/$place
            done
            exec $bb switch_root /newroot "$init"
        fi
        echo "colinux: $root has no $init"
        $bb umount /newroot
    fi
    echo "colinux: cannot start from $root; here is a shell instead"
fi

# Memory that is free goes back to the host.
[ -n "$balloon" ] && $bb sh /colinux/memory.sh >/dev/null 2>&1 &

# Commands of the host.
[ -c /dev/hvc1 ] && (cd /root && exec $bb sh /colinux/agent.sh) >/dev/null 2>&1 &

$bb ip link set lo up
if [ "$net" != none ] && [ -d /sys/class/net/eth0 ]; then
    $bb ip link set eth0 up
    $bb udhcpc -i eth0 -s /colinux/udhcpc.sh -q -n -t 4 -T 1 -S >/dev/null 2>&1 &
    network=$!
fi

newline='
'
shared=
for share in $mounts; do
    tag=${share%%:*}
    where=${share#*:}
    options=
    case $where in *:*) options=,${where#*:} where=${where%%:*} ;; esac
    $bb mkdir -p "$where"
    modprobe -q 9p
    modprobe -q 9pnet_xen
    if $bb mount -t 9p -o "trans=xen,version=9p2000.L,msize=262144,cache=mmap$options" "$tag" "$where"; then
        case $tag in
            host) shared="${shared}The folder that colinux was started in is here as $where.$newline" ;;
            *) shared="${shared}The host's folder $tag is here as $where.$newline" ;;
        esac
    else
        echo "colinux: cannot mount the share $tag"
    fi
done
[ -d "$folder" ] || folder=/root
cd "$folder" 2>/dev/null || cd /

# The terminal behind /dev/console, for a shell with job control.
read -r tty < /sys/class/tty/console/active
tty=/dev/${tty##* }
[ -c "$tty" ] || tty=/dev/console

if [ -n "$script" ] && [ ! -e /colinux/run ]; then
    printf '%s\n' '#!/bin/sh' "$script" > /colinux/run
    $bb chmod 755 /colinux/run
fi
if [ -e /colinux/run ]; then
    [ -n "$network" ] && wait "$network"
    [ -x /colinux/run ] || $bb chmod 755 /colinux/run
    echo 'colinux: begin'
    $bb setsid $bb sh -c 'exec <> "$0" >&0 2>&1; exec /colinux/run' "$tty"
    printf '\ncolinux: exit %d\n' $?
else
    [ -f /etc/motd ] && $bb cat /etc/motd
    if [ -n "$shared" ]; then
        printf '%s\n' "$shared"
    elif ! modprobe -q -D 9p > /dev/null 2>&1; then
        printf 'This kernel has no 9p, so no folder of the host is here; the generic kernels have it.\n\n'
    fi
    shell=/bin/bash
    [ -x $shell ] || shell=/bin/sh
    $bb setsid $bb sh -c 'exec <> "$0" >&0 2>&1; exec '$shell' -l' "$tty"
fi
exec /sbin/poweroff
