# shellcheck shell=sh
#
# For dev-build.sh, whose variables these functions share: the programs that a build needs, and how they
# get here.
# shellcheck disable=SC2154,SC2034

missing=''
# need PACKAGE PROGRAM: an ordinary user's PATH may lack the system directories.
need() {
	PATH=$PATH:/usr/sbin:/sbin command -v "$2" >/dev/null 2>&1 || missing="$missing $1"
}

# hypervisor: what dev-vm runs machines with here, if there is anything. It looks in the same order, and on PATH alone.
hypervisor() {
	if command -v qemu-system-x86_64 >/dev/null 2>&1; then
		echo qemu
	elif command -v bhyve >/dev/null 2>&1; then
		echo bhyve
	elif command -v virsh >/dev/null 2>&1; then
		echo libvirt
	fi
}

# has_firmware: whether UEFI firmware for QEMU is described where dev-vm looks, beside the program, too.
has_firmware() {
	qemu_program=$(command -v qemu-system-x86_64) || qemu_program=/usr/bin/none
	for directory in "${XDG_CONFIG_HOME:-${HOME:-/nonexistent}/.config}" /etc /usr/share "${qemu_program%/*/*}/share"; do
		for descriptor in "$directory"/qemu/firmware/*.json; do
			[ ! -e "$descriptor" ] || return 0
		done
	done
	return 1
}

# What QEMU needs is wanted only where a machine would be QEMU's. What bhyve and libvirt lack, dev-vm says.
need_hypervisor() {
	case $(hypervisor) in
	bhyve) return 0 ;;
	libvirt) ;;
	*)
		need qemu-system-x86 qemu-system-x86_64
		has_firmware || missing="$missing ovmf"
		;;
	esac
	need openssh-client ssh
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
	version=$(rust_version)
	# rustup installs here and tells only new login shells; and it may be newer than what the distribution has.
	rustup_bin=${CARGO_HOME:-${HOME:-/nonexistent}/.cargo}/bin
	if [ -x "$rustup_bin/cargo" ] && { [ -z "$version" ] || ! at_least "$version" "$rust_wanted"; }; then
		PATH=$rustup_bin:$PATH
		version=$(rust_version)
	fi
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
