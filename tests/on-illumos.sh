#!/bin/sh
#
# What this project claims of a running illumos guest and could not see on one: each claim is looked at here, under its
# name in docs/illumos-status.md. Run it as root in a guest that was booted from the development image with the share:
#     sh /repo/tests/on-illumos.sh
# It needs nothing but the guest, and leaves it as it was: services are refreshed and restarted, a file in
# /etc/sysconfig.d comes and goes. Exit status 0: all that could be looked at hold; 1: one does not; 2: this is no
# place to look.
#
# It has to run under the ksh93 that illumos has as /bin/sh.

PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH

share=svc:/system/dev-9p-mount:default
daemon=svc:/system/installer/sysconfig:default
stamp=/repo/.ninep-mirror/stamp
refused=/etc/sysconfig.d/99-on-illumos.toml
# How long a service may take, in seconds.
patience=120

held=0 broken=0 unseen=0
unknown() { unseen=$((unseen + 1)) && echo "  ?     $1: $2"; }

# claim NAME COMMAND...: the command has to succeed; what it prints is the reason when it does not.
claim() {
	name=$1
	shift
	if said=$("$@" 2>&1); then
		held=$((held + 1)) && echo "  ok    $name"
	else
		broken=$((broken + 1)) && echo "  FAIL  $name: ${said:-$* failed}"
	fi
}

# says PATTERN COMMAND...: a line of what it prints has to match.
says() {
	pattern=$1
	shift
	answer=$("$@" 2>&1)
	printf '%s\n' "$answer" | grep "$pattern" >/dev/null && return
	echo "'$*' says: $answer"
	return 1
}

# state FMRI STATE: the service comes to it, and is there to stay.
state() {
	left=$patience
	while [ "$left" -gt 0 ]; do
		found=$(svcs -H -o state,nstate "$1" 2>&1)
		# The pair is wanted as words: a state, and the one that comes next.
		# shellcheck disable=SC2086
		set -- "$1" "$2" $found
		[ "$3" = "$2" ] && [ "$4" = - ] && return
		[ "$3" = maintenance ] && break
		sleep 1
		left=$((left - 1))
	done
	echo "it is ${found:-unknown}"
	return 1
}

absent() {
	[ ! -e "$1" ] || { echo "$1 is there" && return 1; }
}

# Every block of the root pool.
scrub() {
	zpool scrub rpool || return
	while zpool status rpool | grep 'scrub in progress' >/dev/null; do sleep 1; done
	says healthy zpool status -x rpool
}

nothing_broken() {
	answer=$(svcs -x 2>&1)
	[ -z "$answer" ] || { echo "$answer" && return 1; }
}

# A configuration that the daemon refuses leaves the service as it is.
refused_refresh() {
	echo 'no = [toml' >"$refused" || return
	svcadm refresh "$daemon"
	sleep 5
	state "$daemon" online
	result=$?
	rm -f "$refused"
	svcadm refresh "$daemon"
	return "$result"
}

restarts() {
	svcadm restart "$1" || return
	sleep 2
	state "$1" online
}

# The mirror makes a round every few seconds.
fresh() {
	first=$(cat "$stamp")
	sleep 20
	[ "$first" != "$(cat "$stamp")" ] || { echo "$stamp has not changed for 20 s" && return 1; }
}

# A device has one consumer, and a second one is told so.
exclusive() {
	other=/var/tmp/on-illumos.$$
	/usr/lib/ninep-mirror --once --dest "$other" 2>&1
	served=$?
	rm -rf "$other"
	[ "$served" -ne 0 ] || { echo "a second mirror was served" && return 1; }
}

key_is_in() {
	home=$(awk -F: '$1 == "root" { print $6 }' /etc/passwd)
	grep '^ssh-' "${home%/}/.ssh/authorized_keys" >/dev/null
}

[ "$(uname -s)" = SunOS ] || { echo "on-illumos.sh: this is $(uname -s), and no illumos" >&2 && exit 2; }
[ -w /etc/shadow ] || { echo "on-illumos.sh: it has to be root" >&2 && exit 2; }
trap 'rm -f "$refused"' EXIT
uname -a

echo "boot"
claim boot-pool says rpool zpool list -H -o name
claim boot-scrub scrub
claim boot-environment says openindiana beadm list -H
claim boot-menu says rpool/ROOT/ bootadm list-menu
claim boot-archive-current absent /etc/svc/volatile/boot_archive_needs_update
claim boot-archive-update bootadm update-archive
claim boot-drivers says vioblk modinfo
claim boot-console-speed says 115200 prtconf -v

echo "services"
claim smf-nothing-broken nothing_broken
for manifest in dev-9p-mount dev-ready installer/sysconfig; do
	claim "smf-manifest-$(basename "$manifest")" svccfg validate "/lib/svc/manifest/system/$manifest.xml"
done
claim smf-share state "$share" online
claim smf-daemon state "$daemon" online
claim smf-ready state svc:/system/dev-ready:default online
claim smf-refused-refresh refused_refresh
claim smf-refresh-share svcadm refresh "$share"
claim smf-restart-share restarts "$share"
claim smf-restart-daemon restarts "$daemon"

echo "share"
claim share-driver says vio9p modinfo
claim share-device ls /dev/9p/0
claim share-checkout test -f /repo/sysconfig/Cargo.toml
claim share-no-file-system absent /usr/lib/fs/9pfs/mount
if [ -f "$stamp" ]; then
	claim share-fresh fresh
	claim share-exclusive exclusive
else
	unknown share-fresh "there is no mirror"
	unknown share-exclusive "there is no mirror"
fi

echo "sysconfig"
claim daemon-doctor sysconfigctl doctor
claim daemon-status sysconfigctl status
claim daemon-plan sysconfigctl plan
claim daemon-plugins says /repo/sysconfig/target sysconfigctl plugins
claim daemon-network says dhcp ipadm show-addr
claim daemon-hostname says '^dev$' hostname

echo "the way in"
claim ssh-server state svc:/network/ssh:default online
if says ssh.authorized_keys.root smbios -t 11 >/dev/null; then
	claim ssh-key key_is_in
else
	unknown ssh-key "the hypervisor passes none"
fi

echo "$held hold, $broken do not, $unseen could not be looked at"
[ "$broken" -eq 0 ]
