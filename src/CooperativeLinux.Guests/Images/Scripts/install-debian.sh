#!/bin/sh
# Installs Debian on /dev/xvda from the archive on /dev/xvdb (DebianRootBuilder). Runs as root in a guest made for that.
# What is on the disk afterwards was installed by Debian's own dpkg and apt, with all scripts of the packages.
set -eu

disk=/dev/xvda
archive=/dev/xvdb
target=/target
build=$target/var/cache/colinux

step() {
    echo "colinux: step $*"
}

fail() {
    echo "colinux: failed: $*"
    exit 1
}

[ -b $disk ] || fail "the guest has no disk $disk"
[ -b $archive ] || fail "the guest has no disk $archive"
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true LC_ALL=C.UTF-8 HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin

step Making the file system
modprobe ext4 || fail "the kernel has no ext4"
mke2fs -q -F -t ext4 -E nodiscard $disk || fail "cannot make a file system on the disk"
mkdir -p $target

# Nothing of an installation that is cut off is kept, so nothing has to be safe before the end.
mount -t ext4 -o noatime,barrier=0 $disk $target || fail "cannot mount the new file system"
mkdir -p $build
tar -x --no-same-owner -f $archive -C $build || fail "cannot unpack the archive: is the disk too small?"

# dpkg cannot run before what it needs is there; these packages are installed properly afterwards.
step Unpacking the essential packages
for folder in bin sbin lib lib64; do
    mkdir -p $target/usr/$folder
    ln -s usr/$folder $target/$folder
done
while read -r package; do
    echo "Unpacking ${package%%_*} ..."
    dpkg-deb --fsys-tarfile "$build/packages/$package" > $build/data.tar || fail "$package is damaged"
    tar -x --keep-directory-symlink -f $build/data.tar -C $target || fail "cannot unpack $package: is the disk too small?"
done < $build/essential
rm $build/data.tar

mkdir -p $target/var/lib/dpkg/info $target/var/lib/dpkg/updates
: > $target/var/lib/dpkg/status
: > $target/var/lib/dpkg/available
[ -e $target/usr/bin/awk ] || ln -s mawk $target/usr/bin/awk
(cd $build/files && tar -c --owner=0 --group=0 -f - .) | tar -x --keep-directory-symlink -f - -C $target

# By its number, the root is found whatever the disk is called.
uuid=$(blkid -s UUID -o value $disk) || fail "the new file system has no number"
echo "UUID=$uuid / ext4 errors=remount-ro 0 1" >> $target/etc/fstab

# Services are not to be started here, and dpkg need not wait for the disk.
printf '#!/bin/sh\nexit 101\n' > $target/usr/sbin/policy-rc.d
chmod 755 $target/usr/sbin/policy-rc.d
mkdir -p $target/etc/dpkg/dpkg.cfg.d
echo force-unsafe-io > $target/etc/dpkg/dpkg.cfg.d/colinux-installation
mount --rbind /dev $target/dev
mount -t proc proc $target/proc
mount -t sysfs sysfs $target/sys
mount -t tmpfs -o mode=755 tmpfs $target/run

step Installing the essential packages
chroot $target sh -c 'cd /var/cache/colinux/packages && dpkg --force-depends --install $(cat ../essential)' 2>&1 ||
    fail "dpkg could not install the essential packages"

step Installing the packages
chroot $target sh -c 'apt-get -q -y --no-install-recommends -o Dpkg::Use-Pty=0 -o APT::Sandbox::User=root install /var/cache/colinux/packages/*.deb' 2>&1 ||
    fail "apt could not install the packages"
chroot $target dpkg --audit
[ -z "$(chroot $target dpkg --audit)" ] || fail "some packages are not fully installed"
[ -e $target/vmlinuz ] && [ -e $target/initrd.img ] || fail "no kernel was installed"

step Finishing
chroot $target sh -c 'xargs -r apt-mark auto' < $build/automatic > /dev/null
chroot $target systemctl --quiet enable systemd-networkd.service systemd-resolved.service systemd-timesyncd.service \
    colinux-memory.service colinux-shares.service colinux-agent.service 2>&1
umount $target/run $target/sys $target/proc
umount -R $target/dev 2>/dev/null || umount -l $target/dev
rm -r $build $target/usr/sbin/policy-rc.d $target/etc/dpkg/dpkg.cfg.d/colinux-installation
rm -rf $target/var/cache/apt/*.bin $target/var/log/apt $target/var/log/dpkg.log $target/tmp/*
fstrim $target 2>&1 || true
umount $target || fail "cannot write the disk"
sync
