#!/bin/sh
# Mounts the host folders that the kernel's command line names: colinux.mount=TAG:FOLDER[:OPTIONS] (docs/shares.md).
# A kernel without 9p (Debian's cloud kernels) has no host folders, which is no fault of this machine.
modprobe -q 9pnet_xen && modprobe -q 9p || { echo 'this kernel has no 9p over Xen: no host folders'; exit 0; }
status=0
read -r words < /proc/cmdline
for word in $words; do
    case $word in
        colinux.mount=*) value=${word#*=} ;;
        *) continue ;;
    esac
    tag=${value%%:*} folder=${value#*:} options=
    case $folder in *:*) options=,${folder#*:} folder=${folder%%:*} ;; esac
    mkdir -p "$folder"
    mount -t 9p -o "trans=xen,version=9p2000.L,msize=262144,cache=mmap$options" "$tag" "$folder" || status=1
done
exit $status
