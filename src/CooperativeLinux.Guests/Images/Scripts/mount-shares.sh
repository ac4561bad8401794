#!/bin/sh
# Mounts the host folders that the kernel's command line names: colinux.mount=TAG:FOLDER[:OPTIONS] (docs/shares.md).
status=0
read -r words < /proc/cmdline
for word in $words; do
    case $word in
        colinux.mount=*) value=${word#*=} ;;
        *) continue ;;
    esac
    tag=${value%%:*} folder=${value#*:} options=
    case $folder in *:*) options=,${folder#*:} folder=${folder%%:*} ;; esac
    modprobe -q 9pnet_xen
    mkdir -p "$folder"
    mount -t 9p -o "trans=xen,version=9p2000.L,msize=262144,cache=mmap$options" "$tag" "$folder" || status=1
done
exit $status
