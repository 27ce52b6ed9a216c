#!/bin/sh
#
# Builds the development cloud image, from a fresh clone to a bootable disk.
# "dev-build.sh -h" says how it is used; README.md says what to expect.
#
# It runs under any POSIX shell. Everything that takes more than a few lines is
# done by image-builder and dev-vm; this script only sees to it that they can run.

set -eu

here=$(cd "$(dirname "$0")" && pwd)
program=$(basename "$0")

usage() {
	cat <<USAGE
usage: $program [-d WHERE] [-o DIR] [--guest openindiana|debian] [--base FILE]
       [--refresh] [--run] [--watch] [-h]

  -d, --dataset WHERE   workspace: a directory when it begins with /, ./ or ../,
                        else a ZFS dataset (default: ./images)
  -o, --output-dir DIR  copy the finished image there
      --guest GUEST     openindiana (default) or debian
      --base FILE       the root file system of the guest as a tar, instead of
                        the one that would be made or is in the workspace's output
      --refresh         lock the newest package versions (Debian)
      --run             boot the image and wait until the guest says ready
      --watch           rebuild sysconfig and its plugins whenever a source changes
  -h, --help            this text
USAGE
}

say() { printf '%s\n' "$*"; }
fail() { printf '%s: %s\n' "$program" "$*" >&2; exit 1; }
usage_error() { printf '%s: %s\n' "$program" "$*" >&2; usage >&2; exit 2; }

# ---- options ---------------------------------------------------------------

where=./images output_dir='' guest=openindiana base='' refresh='' run='' watch=''
while [ $# -gt 0 ]; do
	case $1 in
	-d | --dataset | -o | --output-dir | --guest | --base)
		[ $# -ge 2 ] || usage_error "$1 needs an argument"
		case $1 in
		-d | --dataset) where=$2 ;;
		-o | --output-dir) output_dir=$2 ;;
		--guest) guest=$2 ;;
		--base) base=$2 ;;
		esac
		shift 2
		;;
	--refresh) refresh=--refresh && shift ;;
	--run) run=yes && shift ;;
	--watch) watch=yes && shift ;;
	-h | --help) usage && exit 0 ;;
	*) usage_error "unknown argument: $1" ;;
	esac
done
case $guest in
debian) template=ttys0-debian-dev base_name=debian-base.tar ;;
openindiana) template=ttya-openindiana-hipster-dev base_name=openindiana-hipster.tar.gz ;;
*) usage_error "--guest is openindiana or debian, not $guest" ;;
esac

# ---- interruption ----------------------------------------------------------

. "$here/tools/await.sh"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'interrupted 130' INT
trap 'interrupted 143' TERM
trap 'interrupted 129' HUP

# ---- what can be made here, before anything is made -------------------------

system=$(uname -s) machine=$(uname -m)

# Where the workspace keeps bases and images; empty when the dataset is not mounted yet.
output_of() {
	case $1 in
	/* | ./* | ../* | . | ..) printf '%s\n' "$1/output" ;;
	*) zfs get -H -o value mountpoint "$1/output" 2>/dev/null | grep '^/' || true ;;
	esac
}

case $where in
/* | ./* | ../* | . | ..) ;;
*)
	command -v zfs >/dev/null 2>&1 ||
		fail "-d $where names a ZFS dataset, and this host has no zfs command. For a directory: -d ./$where"
	;;
esac

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
	case $machine in
	x86_64 | amd64) ;;
	*) fail "the Debian guest is an amd64 one that runs what this host builds, and this host is $machine.
What works here: ./dev-test.sh --fast, cargo build, cargo test" ;;
	esac
	[ -z "$base" ] || return 0
	suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release 2>/dev/null) || true
	if ! command -v apt-get >/dev/null 2>&1 || [ -z "$suite" ]; then
		fail "the Debian guest is made from the host's own Debian packages, and this system has none.
Give the root file system that a Debian host made: --base images/output/$base_name"
	fi
	fetch_package_lists
	[ -n "$(candidate linux-image-amd64)" ] ||
		fail "the Debian guest needs the package linux-image-amd64, which the archive of $suite does not have.
Give the root file system that a Debian host made: --base images/output/$base_name"
}

illumos_build=$here/sysconfig/target/x86_64-unknown-illumos/release

check_base_of_openindiana() {
	present=$(output_of "$where")/$base_name
	[ -z "$base" ] && [ ! -f "$present" ] || return 0
	cat >&2 <<NOBASE
$program: no OpenIndiana base: $present does not exist.

The base is the root file system of an OpenIndiana as a tar. Three stages make it, in this order:

    image-builder build -d DATASET -T $here/sysconfig/image/templates -g openindiana -n hipster-01-strap
    image-builder build -d DATASET -T $here/sysconfig/image/templates -g openindiana -n hipster-02-image
    image-builder build -d DATASET -T $here/sysconfig/image/templates -g openindiana -n hipster-03-archive

They install packages with pkg(1), so they run on an illumos host, as root, with the image builder of
illumos (https://github.com/illumos/image-builder); the one in this repository cannot install IPS packages
yet, on any host. The result is DATASET's output/$base_name. Bring it here, then:

    $0 -d $where --base FILE

For the development loop without an OpenIndiana, on a Debian host:

    $0 -d $where --guest debian --run
NOBASE
	exit 1
}

# An illumos guest runs illumos executables only. Those of this host are refused when the image is made.
announce_illumos_build() {
	[ "$system" != SunOS ] || return 0
	if [ -n "${CARGO_TARGET_X86_64_UNKNOWN_ILLUMOS_LINKER:-}" ]; then
		say "Building sysconfig for illumos with the linker $CARGO_TARGET_X86_64_UNKNOWN_ILLUMOS_LINKER"
	elif [ -x "$illumos_build/sysconfig" ] && [ -x "$illumos_build/sysconfigctl" ] && [ -x "$illumos_build/ninep-mirror" ]; then
		say "Taking sysconfig for illumos from $illumos_build, which this host does not rebuild"
	else
		cat >&2 <<FOREIGN
Note: what this host builds does not run on illumos, so a base that is one will be refused when sysconfig
is put into it. Put an illumos build into $illumos_build
(cargo build --release on an illumos host makes one), or name a linker for illumos in
CARGO_TARGET_X86_64_UNKNOWN_ILLUMOS_LINKER.
FOREIGN
	fi
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

case $guest in
debian) check_host_for_debian ;;
openindiana) check_base_of_openindiana ;;
esac
[ -z "$base" ] || check_base_file
[ "$guest" != openindiana ] || announce_illumos_build

# ---- what the machine must have --------------------------------------------

missing=''
# need PACKAGE PROGRAM: an ordinary user's PATH may lack the system directories.
need() {
	PATH=$PATH:/usr/sbin:/sbin command -v "$2" >/dev/null 2>&1 || missing="$missing $1"
}

# The lowest toolchain that the manifests name.
rust_wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$here/image-builder/Cargo.toml")

# at_least HAVE WANT: compares the first two numbers of two versions.
at_least() {
	have_major=${1%%.*} have_rest=${1#*.} want_major=${2%%.*} want_rest=${2#*.}
	have_minor=${have_rest%%.*} want_minor=${want_rest%%.*}
	[ "$have_major" -gt "$want_major" ] ||
		{ [ "$have_major" -eq "$want_major" ] && [ "$have_minor" -ge "$want_minor" ]; }
}

rust_version() { rustc --version 2>/dev/null | sed -n 's/^rustc \([0-9.]*\).*/\1/p'; }

need_rust() {
	# rustup installs here and tells only new login shells.
	[ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ] && PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
	version=$(rust_version)
	if [ -n "$version" ] && command -v cargo >/dev/null 2>&1; then
		at_least "$version" "$rust_wanted" ||
			fail "Rust $rust_wanted or newer is needed, this is $version. With rustup: rustup update stable"
		return
	fi
	packaged=''
	if command -v apt-get >/dev/null 2>&1; then
		fetch_package_lists
		packaged=$(candidate rustc)
	fi
	if [ -n "$packaged" ] && at_least "$packaged" "$rust_wanted"; then
		missing="$missing cargo rustc"
	else
		fail "Rust $rust_wanted or newer is needed and this system does not package it. Install rustup (https://rustup.rs), then run this again"
	fi
}

install_missing() {
	[ -n "$missing" ] || return 0
	command -v apt-get >/dev/null 2>&1 ||
		fail "these Debian packages, or what they are called here, are missing:$missing"
	if [ "$(id -u)" -ne 0 ]; then
		say "Missing packages. Run this, then $program again:" >&2
		say "    sudo apt-get install --no-install-recommends$missing" >&2
		exit 1
	fi
	say "Installing:$missing"
	await apt-get -qq update
	# Half-configured packages make apt refuse everything, so this is never interrupted, and what was is mended.
	dpkg --configure -a >/dev/null
	# The list is wanted as words.
	# shellcheck disable=SC2086
	await_to_the_end env DEBIAN_FRONTEND=noninteractive apt-get -qq install -o DPkg::Lock::Timeout=60 \
		--yes --no-install-recommends $missing >/dev/null
}

need_rust
need gcc cc
if [ "$system" = Linux ] && command -v cc >/dev/null 2>&1; then
	# A compiler alone cannot link: the C library's own files come in another package.
	echo 'int main(void) { return 0; }' | cc -x c -o /dev/null - 2>/dev/null || missing="$missing libc6-dev"
elif [ "$system" = Linux ]; then
	missing="$missing libc6-dev"
fi
if [ "$guest" = debian ] && [ -z "$base" ]; then
	need mmdebstrap mmdebstrap
	[ "$(id -u)" -eq 0 ] || need uidmap newuidmap
fi
if [ "$guest" = debian ]; then
	need genext2fs genext2fs
	need e2fsprogs tune2fs
fi
if [ -n "$run" ]; then
	need qemu-system-x86 qemu-system-x86_64
	need qemu-utils qemu-img
	need openssh-client ssh
	[ -e /usr/share/OVMF/OVMF_CODE.fd ] || [ -e /usr/share/OVMF/OVMF_CODE_4M.fd ] ||
		[ -d /usr/share/qemu/firmware ] || missing="$missing ovmf"
fi
install_missing
need_rust

# ---- programs --------------------------------------------------------------

external=$here/sysconfig/target/release
if [ "$guest" = openindiana ] && [ "$system" != SunOS ] && [ -x "$illumos_build/sysconfig" ]; then
	external=$illumos_build
fi

# cargo_build WORKSPACE [OPTION...]: the guest and we look for the programs here, whatever the user's Cargo is told.
cargo_build() {
	workspace=$here/$1
	shift
	await cargo build --quiet --release --locked --manifest-path "$workspace/Cargo.toml" \
		--target-dir "$workspace/target" "$@"
}

build_sysconfig() {
	cargo_build sysconfig || return 1
	[ "$guest" = openindiana ] && [ "$system" != SunOS ] || return 0
	[ -n "${CARGO_TARGET_X86_64_UNKNOWN_ILLUMOS_LINKER:-}" ] || return 0
	cargo_build sysconfig --target x86_64-unknown-illumos || return 1
	external=$illumos_build
}

say "Building image-builder and dev-vm"
cargo_build image-builder
say "Building sysconfig and its plugins"
build_sysconfig

image_builder=$here/image-builder/target/release/image-builder
dev_vm=$here/image-builder/target/release/dev-vm
templates=$here/sysconfig/image/templates

# ---- base and image --------------------------------------------------------

output=$("$image_builder" workspace -d "$where" --output)

if [ -n "$base" ] && ! cmp -s "$base" "$output/$base_name"; then
	say "Taking $base as $base_name"
	# By rename: an interrupted copy leaves the old one.
	partial=$output/.$base_name.new
	await cp "$base" "$partial"
	mv -f "$partial" "$output/$base_name"
fi

await "$image_builder" build -d "$where" -T "$templates" -E "$external" -g cloudimage -n "$template" \
	${refresh:+"$refresh"} ${base:+--no-deps} --print-path >"$scratch/image"
image=$(cat "$scratch/image")

if [ -n "$output_dir" ]; then
	mkdir -p "$output_dir"
	copy=$output_dir/$(basename "$image")
	partial=$copy.new
	await cp "$image" "$partial"
	mv -f "$partial" "$copy"
	image=$copy
fi

say ""
say "Image: $image"
say "Size:  $(du -k "$image" | awk '{ printf "%d MiB on disk", $1 / 1024 }'), $(wc -c <"$image" | awk '{ printf "%d MiB as a disk", $1 / 1048576 }')"
if [ -z "$run" ]; then
	say ""
	say "Next:  $dev_vm -d $where up --image $image --share $here"
else
	await "$dev_vm" -d "$where" up --image "$image" --share "$here"
	say ""
	say "Next:  $dev_vm -d $where ssh"
fi
say "Then edit a plugin and run: cargo build --release --manifest-path $here/sysconfig/Cargo.toml"

# ---- watch -----------------------------------------------------------------

# Names, sizes and times of every source; a poll, because it works on every host and file system.
fingerprint() {
	find "$here/sysconfig" "$here/common" -name target -prune -o \
		\( -name '*.rs' -o -name '*.toml' -o -name '*.lock' \) -type f -exec ls -ln --time-style=+%s%N {} + 2>/dev/null ||
		find "$here/sysconfig" "$here/common" -name target -prune -o \
			\( -name '*.rs' -o -name '*.toml' -o -name '*.lock' \) -type f -exec ls -ln {} +
}

if [ -n "$watch" ]; then
	say "Watching $here/sysconfig; interrupt to end${run:+, which leaves the machine running}"
	seen=$(fingerprint | cksum)
	while :; do
		sleep 0.3 2>/dev/null || sleep 1
		now=$(fingerprint | cksum)
		[ "$now" = "$seen" ] && continue
		seen=$now
		say "$(date +%H:%M:%S) rebuilding"
		if build_sysconfig; then
			say "$(date +%H:%M:%S) built"
		else
			say "$(date +%H:%M:%S) not built; the guest keeps what it has"
		fi
	done
fi
