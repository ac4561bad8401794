#!/bin/sh
# Runs commands of the host (docs/machines.md, CommandChannel): requests come on hvc1, output goes there, errors to hvc2.
#   run TOKEN SCRIPT    a shell script in base64; "TOKEN begin" and "TOKEN end STATUS" stand around what it says on either
#   kill TOKEN          ends the command with all that it has started in its session
# Runs with dash and with busybox.

[ -c /dev/hvc1 ] && [ -c /dev/hvc2 ] || exit 0
exec 3<>/dev/hvc1 4<>/dev/hvc2 || exit 0
stty raw -echo <&3
stty raw -echo <&4
folder=/run/colinux
mkdir -p -m 700 $folder

# The script is read before the next one may take its place; a command has no input.
run() {
    printf '%s begin\n' "$1" >&3
    printf '%s begin\n' "$1" >&4
    setsid sh $folder/command < /dev/null >&3 2>&4 3<&- 4<&- &
    echo "$1 $!" > $folder/session
    wait $!
    status=$?
    printf '%s end %d\n' "$1" $status >&4
    printf '%s end %d\n' "$1" $status >&3
}

printf 'colinux: ready\n' >&3
while read -r verb token text <&3; do
    case $verb in
        run)
            printf %s "$text" | base64 -d > $folder/command
            run "$token" &
            ;;
        kill)
            read -r running session < $folder/session && [ "$running" = "$token" ] && kill -KILL -- "-$session"
            ;;
    esac
done
