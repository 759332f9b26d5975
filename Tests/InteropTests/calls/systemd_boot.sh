#!/bin/sh
# Boots systemd as process 1 of namespaces of its own, on a throw-away layer over this system, with Parley's units installed, and
# has systemd_judge.py look at them there, which leaves FOLDER/facts.json. Usage: systemd_boot.sh PARLEY PACKAGING FOLDER, as root.
# Ends with 77 and says why where there is no systemd, or no control group for it.
set -eu
binary=$1 packaging=$2 folder=$3
if [ "${4:-}" != inside ]; then
    [ -x /lib/systemd/systemd ] || { echo "systemd is not installed"; exit 77; }
    hierarchy=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    group=$hierarchy/parley-judge-$$
    if [ -z "$hierarchy" ] || ! mkdir "$group" 2>/dev/null; then
        echo "no control group (version 2) can be made for systemd"
        exit 77
    fi
    # Groups that systemd made go with it, deepest first.
    trap 'find "$group" -depth -type d -exec sh -c "rmdir \"\$1\" || { sleep 1; rmdir \"\$1\"; }" sh {} \; || true' EXIT
    sh -c 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"' sh "$group" \
        unshare --mount --propagation private --pid --net --ipc --uts --cgroup --fork --kill-child \
        sh "$0" "$binary" "$packaging" "$folder" inside
    exit
fi
root=$folder/root
mkdir "$root" "$folder/layer"
mount -t tmpfs layer "$folder/layer"
mkdir "$folder/layer/upper" "$folder/layer/work"
mount -t overlay -o "lowerdir=/,upperdir=$folder/layer/upper,workdir=$folder/layer/work" overlay "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs run "$root/run"
mount -t tmpfs tmp "$root/tmp"
mount -t tmpfs -o mode=755 dev "$root/dev"
mkdir -p "$root/dev/net" "$root/dev/shm" "$root/dev/pts"
for device in null zero full random urandom tty net/tun; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir -p "$root/judge" "$root/etc/parley"
mount --bind "$folder" "$root/judge"
: >"$root/usr/bin/parley"
: >"$folder/console.log" >"$root/dev/console"
mount --bind "$folder/console.log" "$root/dev/console"
mount --bind "$binary" "$root/usr/bin/parley"
# Of this system's units none but Parley's and what systemd cannot be without.
rm -rf "$root/etc/systemd/system" "$root/etc/parley" "$root/var/lib/parley"
mkdir -p "$root/etc/systemd/system/parley.service.d" "$root/etc/parley"
: >"$root/etc/fstab"
units=$root/etc/systemd/system
for unit in systemd-udevd systemd-udev-trigger systemd-journald systemd-remount-fs systemd-timesyncd systemd-resolved \
    systemd-logind systemd-random-seed systemd-sysctl dbus; do
    ln -s /dev/null "$units/$unit.service"
done
cp "$packaging/parley.service" "$packaging/parley.socket" "$units"
cp "$folder/swanctl.conf" "$root/etc/parley/"
cp "$folder/drop-in.conf" "$units/parley.service.d/judge.conf"
cat >"$units/judge.service" <<'UNIT'
[Service]
Type=oneshot
ExecStart=/usr/bin/python3 -W ignore /judge/systemd_judge.py
ExecStopPost=/bin/systemctl --no-block exit 0
StandardOutput=file:/judge/judge.log
StandardError=file:/judge/judge.log
TimeoutStartSec=90
UNIT
ip link set lo up
mkdir "$root/system-below"
cd "$root"
pivot_root . system-below
umount -l /system-below
exec env -i container=parley PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=judge.service --log-target=console --show-status=false
