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
[ -z "$base" ] || [ -f "$base" ] || fail "--base $base: no such file"

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
	packaged=$(apt-cache policy rustc 2>/dev/null | sed -n 's/^  Candidate: \([0-9.]*\).*/\1/p')
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
	apt-get -qq update
	# The list is wanted as words.
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends $missing >/dev/null
}

need_rust
need gcc cc
need libc6-dev ldconfig
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

build_sysconfig() {
	cargo build --quiet --release --locked --manifest-path "$here/sysconfig/Cargo.toml"
}

say "Building image-builder and dev-vm"
cargo build --quiet --release --locked --manifest-path "$here/image-builder/Cargo.toml"
say "Building sysconfig and its plugins"
build_sysconfig

image_builder=$here/image-builder/target/release/image-builder
dev_vm=$here/image-builder/target/release/dev-vm
templates=$here/sysconfig/image/templates
external=$here/sysconfig/target/release

# ---- base and image --------------------------------------------------------

output=$("$image_builder" workspace -d "$where" --output)

if [ -n "$base" ]; then
	say "Taking $base as $base_name"
	# By rename: an interrupted copy leaves the old one.
	cp "$base" "$output/.$base_name.new"
	mv -f "$output/.$base_name.new" "$output/$base_name"
elif [ "$guest" = openindiana ] && [ ! -f "$output/$base_name" ]; then
	cat >&2 <<NOBASE
$program: no OpenIndiana base: $output/$base_name does not exist.

These three stages make it, in this order:

    $image_builder build -d $where -g openindiana -n hipster-01-strap
    $image_builder build -d $where -g openindiana -n hipster-02-image
    $image_builder build -d $where -g openindiana -n hipster-03-archive

or give one that was made elsewhere: $program -d $where --base FILE
The Debian guest needs no base: $program -d $where --guest debian
NOBASE
	exit 1
fi

image=$("$image_builder" build -d "$where" -T "$templates" -E "$external" -g cloudimage -n "$template" \
	${refresh:+"$refresh"} ${base:+--no-deps} --print-path)

if [ -n "$output_dir" ]; then
	mkdir -p "$output_dir"
	copy=$output_dir/$(basename "$image")
	cp "$image" "$copy.new"
	mv -f "$copy.new" "$copy"
	image=$copy
fi

say ""
say "Image: $image"
say "Size:  $(du -k "$image" | awk '{ printf "%d MiB on disk", $1 / 1024 }'), $(wc -c <"$image" | awk '{ printf "%d MiB as a disk", $1 / 1048576 }')"
if [ -z "$run" ]; then
	say ""
	say "Next:  $dev_vm -d $where up --image $image --share $here"
else
	"$dev_vm" -d "$where" up --image "$image" --share "$here"
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
	say "Watching $here/sysconfig; interrupt to end"
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
