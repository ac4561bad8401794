#!/bin/sh
# Work on a shared folder, the same on the host and in guests: share.sh FOLDER REPETITIONS MEBIBYTES
# The folder holds tree.tar, many small files, and repo, a git repository of as many. Prints "share NAME SECONDS" of each repetition.
cd "$1" || exit 1
mebibytes=$3
export GIT_OPTIONAL_LOCKS=0 HOME=/tmp

measure() {
    name=$1
    shift
    begin=$(date +%s%N)
    sh -e -c "$*" || { echo "share.sh: $name failed"; exit 1; }
    end=$(date +%s%N)
    echo "share $name $(((end - begin) / 1000000)) ms"
}

cp tree.tar /tmp/tree.tar || exit 1
# What git remembers of the files is not the same on both sides of a share; this makes it so, once.
git -c safe.directory='*' -C repo update-index -q --refresh
repetition=0
while [ $repetition -lt "$2" ]; do
    measure untar "tar xf /tmp/tree.tar"
    measure find "find tree -type f | wc -l > /dev/null"
    measure stat "find tree -printf '%s %m %T@\n' > /dev/null"
    measure tar "tar cf - tree | cat > /dev/null"
    measure git-status "git -c safe.directory='*' -C repo status --porcelain > /dev/null"
    measure remove "rm -r tree"
    measure write-1M "dd if=/dev/zero of=big bs=1M count=$mebibytes 2> /dev/null"
    measure read-1M "dd if=big of=/dev/null bs=1M 2> /dev/null"
    measure read-4K "dd if=big of=/dev/null bs=4K count=$((mebibytes * 32)) 2> /dev/null"
    measure write-4K "dd if=/dev/zero of=big bs=4K count=$((mebibytes * 32)) conv=notrunc 2> /dev/null"
    rm big
    repetition=$((repetition + 1))
done
