#!/bin/sh
#
# What this project claims of a running illumos guest and could not see on one: each claim is looked at here, under its
# name in docs/illumos-status.md. Run it as root in a guest that was booted from the development image with the share:
#     sh /repo/tests/on-illumos.sh
# It needs nothing but the guest, and leaves it as it was: services are refreshed and restarted; a file in
# /etc/sysconfig.d, a pool on a file, a volume for swap, a mount and a changed plugin come and go. Exit status 0: all that could
# be looked at hold; 1: one does not; 2: this is no place to look.
#
# It has to run under the ksh93 that illumos has as /bin/sh.

PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH

share=svc:/system/dev-9p-mount:default
daemon=svc:/system/installer/sysconfig:default
stamp=/repo/.ninep-mirror/stamp
extra=/etc/sysconfig.d/99-on-illumos.toml
socket=/var/run/sysconfig/sysconfig.sock
# On the root pool, as /repo is.
scratch=/var/tmp/on-illumos
pool=on-illumos volume=rpool/on-illumos
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

# comes COMMAND...: it succeeds in time; its last words are the reason when it does not.
comes() {
	left=$patience
	until last=$("$@" 2>&1); do
		left=$((left - 1))
		[ "$left" -gt 0 ] || { echo "$last" && return 1; }
		sleep 1
	done
}

# other OLD COMMAND...: it says something, and not that.
other() {
	old=$1
	shift
	now=$("$@")
	case $now in
	'' | - | "$old") echo "'$*' still says ${now:-nothing}" && return 1 ;;
	esac
}

# silent PATTERN COMMAND...: no line of what it prints matches.
silent() {
	if says "$@" >/dev/null; then echo "there still is $1" && return 1; fi
}

# The contract of a service: another one has other processes.
contract() { svcs -H -o ctid "$1" | tr -d ' '; }

# The speed that the terminal has, whatever the loader's settings say.
console() { stty -a </dev/console; }

# The pool takes the room of the disk that the image was written to.
expanded() {
	says '^on$' zpool get -H -o value autoexpand rpool && says '^-$' zpool list -H -o expandsize rpool
}

# configure LINE...: what the daemon is given beside the image's configuration.
configure() { printf '%s\n' "$@" >"$extra" && svcadm refresh "$daemon"; }
unconfigure() { rm -f "$extra" && svcadm refresh "$daemon"; }

# A configuration that the daemon refuses is told, and leaves the service as it is.
refused_refresh() {
	before=$(contract "$daemon")
	configure 'no = [toml' && comes says "${extra##*/}" sysconfigctl status && state "$daemon" online
	result=$?
	unconfigure
	[ "$result" -eq 0 ] || return "$result"
	comes silent "${extra##*/}" sysconfigctl status || return
	[ "$(contract "$daemon")" = "$before" ] || { echo "the daemon was started anew" && return 1; }
}

# The mirror goes on with a round at once; one that the signal ends would come back in another contract.
refreshes() {
	before=$(contract "$share") round=$(cat "$stamp")
	svcadm refresh "$share" && comes other "$round" cat "$stamp" && state "$share" online || return
	[ "$(contract "$share")" = "$before" ] || { echo "the mirror was started anew" && return 1; }
}

restarts() {
	before=$(contract "$1")
	svcadm restart "$1" && comes other "$before" contract "$1" && state "$1" online
}

# The mirror makes a round every few seconds.
fresh() { comes other "$(cat "$stamp")" cat "$stamp"; }

# A device has one consumer, and a second one is told so.
exclusive() {
	answer=$(/usr/lib/ninep-mirror --once --dest "$scratch/other" 2>&1) && echo "a second mirror was served" && return 1
	case $answer in *busy*) ;; *) echo "it does not say busy, but: $answer" && return 1 ;; esac
}

# plugin NAME FIELD: a word of its row.
plugin() { sysconfigctl plugins | awk -v name="$1" -v field="$2" '$1 == name { print field == "file" ? $NF : $field }'; }

# stands COMMAND...: while the mirror does not go on. It keeps what the host has, so a file that was changed here would be
# put back before the daemon has seen it, or after, as chance has it.
stands() {
	mirror=$(pgrep -x ninep-mirror) || { echo "no mirror runs" && return 1; }
	echo "$mirror" >"$scratch/stopped"
	# There may be several, as words.
	# shellcheck disable=SC2086
	pstop $mirror && "$@"
	result=$?
	resume
	return "$result"
}
resume() {
	[ ! -f "$scratch/stopped" ] || xargs prun <"$scratch/stopped"
	rm -f "$scratch/stopped"
}

# Another file of the same program, and then the old one again. Both take their place by a rename, as the mirror does it.
hot_reload() {
	file=$(plugin dns file) before=$(plugin dns 5)
	cp -p "$file" "$scratch/plugin" && cp -p "$file" "$scratch/changed" && echo >>"$scratch/changed" &&
		mv "$scratch/changed" "$file" && comes other "$before" plugin dns 5
	result=$?
	before=$(plugin dns 5)
	mv "$scratch/plugin" "$file"
	[ "$result" -eq 0 ] && comes other "$before" plugin dns 5
}

# The image's name servers are those of the lease, QEMU's own or those of the network that bhyve's device leads to.
leased_servers() {
	leased=$(dhcpinfo -v 4 DNSserv | sed 3q)
	used=$(sed -n 's/^nameserver //p' /etc/resolv.conf)
	[ -n "$leased" ] && [ "$used" = "$leased" ] && return
	echo "the lease tells '$leased', and /etc/resolv.conf has '$used'"
	return 1
}

# An interface that the machine does not have, by the plugin that the daemon runs.
unknown_link() {
	printf '%s\n' '[[network.interface]]' 'match = { name = "nosuch0" }' >"$scratch/link.toml"
	file=$(plugin interfaces file)
	says 'this machine has no link nosuch0' sysconfigctl config check --plugins "${file%/*}" "$scratch/link.toml"
}

# With the socket open to all, the daemon itself has to see who asks.
stranger() {
	chmod 755 "${socket%/*}" && chmod 666 "$socket"
	answer=$(su daemon -c '/usr/sbin/sysconfigctl ping' 2>&1) && answer="served: $answer"
	chmod 600 "$socket" && chmod 700 "${socket%/*}"
	case $answer in *"may not administer"*) ;; *) echo "the user daemon is $answer" && return 1 ;; esac
	sysconfigctl ping
}

store() {
	mkfile 128m "$scratch/disk" &&
		configure '[[storage.pool]]' "name = \"$pool\"" "vdevs = [\"$scratch/disk\"]" \
			'[[storage.swap]]' "volume = \"$volume\"" 'size = "128 MiB"' 'persistent = false' \
			'[[storage.mount]]' 'device = "swap"' "mountpoint = \"$scratch/mount\"" 'type = "tmpfs"' \
			'options = ["size=16m"]' 'persistent = false'
}

# Swap and mount are given back when they are not configured any more; pool and volume stay, and are ours to destroy.
release() {
	configure '[storage]' 'mount = []' 'swap = []' &&
		comes silent "$scratch/mount" cat /etc/mnttab && comes silent "$volume" swap -l
}

key_is_in() {
	home=$(awk -F: '$1 == "root" { print $6 }' /etc/passwd)
	grep '^ssh-' "${home%/}/.ssh/authorized_keys" >/dev/null
}

# Whatever was looked at last, nothing of this stays.
leave() {
	resume
	[ ! -f "$extra" ] || unconfigure
	! zfs list "$volume" >/dev/null 2>&1 || zfs destroy "$volume"
	! zpool list "$pool" >/dev/null 2>&1 || zpool destroy "$pool"
	rm -rf "$scratch"
}

[ "$(uname -s)" = SunOS ] || { echo "on-illumos.sh: this is $(uname -s), and no illumos" >&2 && exit 2; }
[ -w /etc/shadow ] || { echo "on-illumos.sh: it has to be root" >&2 && exit 2; }
if zpool list "$pool" >/dev/null 2>&1 || zfs list "$volume" >/dev/null 2>&1; then
	echo "on-illumos.sh: there is a pool $pool or a volume $volume already" >&2 && exit 2
fi
mkdir -p "$scratch" || exit 2
trap leave EXIT
trap 'exit 130' INT TERM
uname -a

echo "boot"
claim boot-pool says rpool zpool list -H -o name
claim boot-scrub scrub
claim boot-autoexpand expanded
claim boot-environment says openindiana beadm list -H
claim boot-menu says rpool/ROOT/ bootadm list-menu
claim boot-archive-current absent /etc/svc/volatile/boot_archive_needs_update
claim boot-archive-update bootadm update-archive
claim boot-drivers says vioblk modinfo
claim boot-console-speed says 'speed 115200 baud' console

echo "services"
claim smf-repository says '^-rw------- ' ls -l /etc/svc/repository.db
claim smf-nothing-broken nothing_broken
for manifest in dev-9p-mount dev-ready installer/sysconfig; do
	claim "smf-manifest-$(basename "$manifest")" svccfg validate "/lib/svc/manifest/system/$manifest.xml"
done
claim smf-share state "$share" online
claim smf-daemon state "$daemon" online
claim smf-ready state svc:/system/dev-ready:default online
claim smf-refused-refresh refused_refresh
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
	claim smf-refresh-share refreshes
	claim daemon-hot-reload stands hot_reload
else
	unknown share-fresh "there is no mirror"
	unknown share-exclusive "there is no mirror"
	unknown smf-refresh-share "there is no mirror"
	unknown daemon-hot-reload "/repo is the host's"
fi

echo "sysconfig"
claim daemon-doctor sysconfigctl doctor
claim daemon-status sysconfigctl status
claim daemon-plan sysconfigctl plan
claim daemon-plugins says /repo/sysconfig/target sysconfigctl plugins
claim daemon-peer-credentials stranger
claim daemon-network says '^dhcp:ok$' ipadm show-addr -p -o type,state
claim daemon-route says 'gateway: ' route -n get default
claim daemon-route-table says '^default  *0\.0\.0\.0  *[0-9.]* .* UG' netstat -rnv -f inet
claim daemon-lease says '^[0-9]' dhcpinfo -v 4 DNSserv
claim daemon-config-check unknown_link
claim daemon-dns comes leased_servers
claim daemon-name-service says '^hosts:.*dns' cat /etc/nsswitch.conf
claim daemon-hostname says '^dev$' hostname

echo "storage"
claim storage-configured store
claim storage-pool comes says '^ONLINE$' zpool list -H -o health "$pool"
claim storage-swap comes says "$volume" swap -l
claim storage-mount comes says "$scratch/mount" cat /etc/mnttab
claim storage-released release

echo "the way in"
claim ssh-server state svc:/network/ssh:default online
if says ssh.authorized_keys.root smbios -t 11 >/dev/null; then
	claim ssh-key key_is_in
else
	unknown ssh-key "the hypervisor passes none"
fi

echo "$held hold, $broken do not, $unseen could not be looked at"
[ "$broken" -eq 0 ]
