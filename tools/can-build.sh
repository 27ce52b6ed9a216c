# shellcheck shell=sh
#
# For dev-build.sh, whose variables these functions share: what can be made on this host, said before
# anything is made.
# shellcheck disable=SC2154,SC2034

# Where the workspace keeps bases and images; empty when the dataset is not mounted yet.
output_of() {
	case $1 in
	/* | ./* | ../* | . | ..) printf '%s\n' "$1/output" ;;
	*) zfs get -H -o value mountpoint "$1/output" 2>/dev/null | grep '^/' || true ;;
	esac
}

# candidate PACKAGE: the version that apt would install.
candidate() { apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: \([^(].*\)/\1/p'; }

# A fresh machine has never asked its archive what there is.
fetch_package_lists() {
	[ -z "$(candidate libc6-dev)" ] || return 0
	[ "$(id -u)" -eq 0 ] || fail "apt has no package lists yet. Run this, then $program again:
    sudo apt-get update"
	await apt-get -qq update
}

# The guest runs what this host builds, so the host has to be of its kind.
check_host_for_debian() {
	[ "$system" = Linux ] || fail "the Debian guest runs what is built on Linux, and this is $system"
	machine=$(uname -m)
	case $machine in
	x86_64 | amd64) ;;
	*) fail "the Debian guest is an amd64 one that runs what this host builds, and this host is $machine.
What works here: ./dev-test.sh --fast, cargo build, cargo test" ;;
	esac
	[ -z "$base" ] || return 0
	present=$(output_of "$where")/$base_name
	suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release 2>/dev/null) || true
	if ! command -v apt-get >/dev/null 2>&1 || [ -z "$suite" ]; then
		[ ! -f "$present" ] || { no_deps=--no-deps && return 0; }
		fail "the Debian guest is made from the host's own Debian packages, and this system has none.
Give the root file system that a Debian host made: --base images/output/$base_name"
	fi
	fetch_package_lists
	[ -z "$(candidate linux-image-amd64)" ] || return 0
	[ ! -f "$present" ] || { no_deps=--no-deps && return 0; }
	fail "the Debian guest needs the package linux-image-amd64, which the archive of $suite does not have.
Give the root file system that a Debian host made: --base images/output/$base_name"
}

# What the stages make is far below these when it is packed, and far above nothing.
openindiana_base_kilobytes=$((4 * 1024 * 1024))

# Without a base, three stages make one of packages; where those are from, and what it takes, is said first.
check_base_of_openindiana() {
	[ -z "$base" ] || return 0
	present=$(output_of "$where")
	[ -z "$present" ] || [ ! -f "$present/$base_name" ] || return 0
	makes_base=yes
	strap=$here/sysconfig/image/templates/openindiana/hipster-01-strap.json
	origin=$(sed -n 's/.*"uri": *"\([^"]*\)".*/\1/p' "$strap" | head -n 1)
	if [ -n "$present" ]; then
		available=$(free_kilobytes "$present")
		[ "$available" -ge "$openindiana_base_kilobytes" ] ||
			fail "no OpenIndiana base is there, and making one in $where takes up to $((openindiana_base_kilobytes / 1048576)) GiB: $((available / 1024)) MiB are free.
Give one that is there: --base FILE. For the development loop without an OpenIndiana, on a Debian host: --guest debian"
	fi
	cat <<FETCHING
No OpenIndiana base is there yet, so its three stages are built first (hipster-01-strap, -02-image, -03-archive):
  from   $origin (proxies are those of the environment)
  what   the publisher's catalog and the manifests of the packages that are chosen from it; then a plan says which
         packages these are and how many bytes their files have, before the first of them is fetched
  to     the workspace $where, once: later builds fetch nothing, and --refresh asks for newer packages
FETCHING
}

# kilobytes FILE, and what is free where a directory is or will be.
kilobytes() { echo $(($(wc -c <"$1") / 1024 + 1)); }
free_kilobytes() {
	directory=$1
	while [ ! -d "$directory" ]; do directory=$(dirname "$directory"); done
	df -Pk "$directory" | awk 'END { print $4 }'
}

check_base_file() {
	[ -e "$base" ] || fail "--base $base: no such file"
	[ -f "$base" ] || fail "--base $base: not a regular file"
	[ -r "$base" ] || fail "--base $base: not readable by $(id -un)"
	first=$(od -An -tx1 -N 2 "$base" | tr -d ' ')
	# A tar says so behind its first name, compressed or not.
	if [ "$first" = 1f8b ]; then
		magic=$( (gzip -dc "$base" 2>/dev/null || true) | od -An -c -j 257 -N 5 | tr -d ' \n')
	else
		magic=$(od -An -c -j 257 -N 5 "$base" 2>/dev/null | tr -d ' \n')
	fi
	[ "$magic" = ustar ] || fail "--base $base: neither a tar nor a tar compressed by gzip"
	destination=$(output_of "$where")
	[ -n "$destination" ] && ! cmp -s "$base" "$destination/$base_name" || return 0
	needed=$(kilobytes "$base") available=$(free_kilobytes "$destination")
	[ "$needed" -le "$available" ] ||
		fail "--base $base: its copy in $destination needs $((needed / 1024 + 1)) MiB, and $((available / 1024)) MiB are free"
}

# Where the copy of the image goes is looked at before the image is made.
check_output_dir() {
	[ -n "$output_dir" ] || return 0
	directory=$output_dir
	while [ ! -e "$directory" ]; do directory=$(dirname "$directory"); done
	[ -d "$directory" ] || fail "-o $output_dir: $directory is not a directory"
	[ -w "$directory" ] || fail "-o $output_dir: $(id -un) cannot write to $directory"
}
