#!/bin/sh
#
# Runs every test, the fast ones first. "dev-test.sh -h" says how it is used.
#
# A judge is a program that nobody here wrote: sgdisk, e2fsck, zdb, QEMU. One that
# is missing is installed when this runs as root on a Debian-like system; otherwise
# its tests are skipped, loudly, and with CI=true that is a failure. docs/testing.md
# has the list.

set -u

here=$(cd "$(dirname "$0")" && pwd)
cd "$here" || exit 1
program=$(basename "$0")

usage() {
	cat <<USAGE
usage: $program [--fast] [--soak] [--only TEXT] [-h]

      --fast   leave out what boots a virtual machine or builds an image
      --soak   everything at full size, hours of it: large tests, FUZZ_SECONDS (300) of
               fuzzing for each reader, the lowest Rust, the kernel's own ZFS
      --only TEXT  of the stages only those with TEXT in their names, and what they need
  -h, --help   this text
USAGE
}

tier=full only=''
while [ $# -gt 0 ]; do
	case $1 in
	--fast) tier=fast ;;
	--soak) tier=soak ;;
	--only)
		[ $# -ge 2 ] || { usage >&2 && exit 2; }
		only=$2 && shift
		;;
	-h | --help) usage && exit 0 ;;
	*) usage >&2 && exit 2 ;;
	esac
	shift
done

passed=0 failed=0 skipped=0 failures='' skips=''

# Where tests of all crates say that they tested nothing; a test that passes is not heard otherwise.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
SKIPPED_JUDGES=$scratch/skipped
: >"$SKIPPED_JUDGES"
export SKIPPED_JUDGES

say() { printf '%s\n' "$*"; }

# stage NAME COMMAND...: exit status 77 says that a judge is missing, 78 that it is
# not to be had anywhere; both have told their reason.
stage() {
	case $1 in
	*"$only"*) preparation "$@" ;;
	esac
}

# What is named like a stage, and is one, but others need what it leaves.
preparation() {
	name=$1
	shift
	say "---- $name"
	begin=$(date +%s)
	"$@" </dev/null
	status=$?
	took=$(($(date +%s) - begin))
	if [ "$status" -eq 0 ]; then
		passed=$((passed + 1))
		say "     ok, $took s"
	elif [ "$status" -eq 78 ] || { [ "$status" -eq 77 ] && [ "${CI:-}" != true ]; }; then
		skipped=$((skipped + 1))
		skips="$skips
     $name"
		say "     SKIPPED: $name"
	else
		failed=$((failed + 1))
		failures="$failures
     $name"
		say "     FAILED with status $status, $took s"
	fi
}

# ---- the machine -----------------------------------------------------------

judges="shellcheck:shellcheck gdisk:sgdisk fdisk:sfdisk dosfstools:fsck.fat mtools:mdir e2fsprogs:e2fsck genext2fs:genext2fs
	mmdebstrap:mmdebstrap uidmap:newuidmap qemu-system-x86:qemu-system-x86_64 qemu-utils:qemu-img
	openssh-client:ssh libxml2-utils:xmllint python3:python3 gcc:cc grub-common:grub-fstest procps:ps
	cpio:cpio diod:diod xorriso:xorriso genisoimage:isoinfo libarchive-tools:bsdtar python3-jsonschema:jsonschema
	ksh93u+m:ksh93 dnsmasq-base:dnsmasq dhcpcd-base:dhcpcd iputils-arping:arping systemd:networkctl dbus:dbus-daemon iproute2:ip util-linux:unshare openssl:openssl tinyproxy-bin:tinyproxy microsocks:microsocks libvirt-clients:virt-xml-validate
	exfatprogs:mkfs.exfat ntfs-3g:mkntfs xfsprogs:mkfs.xfs btrfs-progs:mkfs.btrfs f2fs-tools:mkfs.f2fs nilfs-tools:mkfs.nilfs2
	jfsutils:jfs_mkfs squashfs-tools:mksquashfs erofs-utils:mkfs.erofs udftools:mkudffs cryptsetup-bin:cryptsetup
	bcache-tools:make-bcache lvm2:pvcreate mdadm:mdadm mount:losetup strace:strace"

install_judges() {
	wanted=''
	for pair in $judges; do
		PATH=$PATH:/usr/sbin:/sbin command -v "${pair#*:}" >/dev/null 2>&1 || wanted="$wanted ${pair%:*}"
	done
	ls /usr/share/qemu/firmware/*.json >/dev/null 2>&1 || wanted="$wanted ovmf"
	if command -v rustup >/dev/null 2>&1; then
		cargo fmt --version >/dev/null 2>&1 || rustup --quiet component add rustfmt
		cargo clippy --version >/dev/null 2>&1 || rustup --quiet component add clippy
	else
		cargo fmt --version >/dev/null 2>&1 || wanted="$wanted rustfmt"
		cargo clippy --version >/dev/null 2>&1 || wanted="$wanted rust-clippy"
	fi
	[ -n "$wanted" ] || return 0
	if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
		say "Installing:$wanted"
		# The list is wanted as words.
		# shellcheck disable=SC2086
		apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
			apt-get -qq install --yes --no-install-recommends $wanted >/dev/null
	else
		say "Not installed, so some tests will be skipped:$wanted"
		say "    sudo apt-get install --no-install-recommends$wanted"
	fi
}

# check_space BUILD SCRATCH: a full disk fails in a hundred places, none of which says so. Asked once, in GiB, where the
# programs are built, less what is built already, and where tests put what they make.
check_space() {
	built=$(du -sk image-builder/target sysconfig/target 2>/dev/null | awk '{ sum += $1 } END { print int(sum / 1048576) }')
	has_space "$here" $(($1 > built ? $1 - built : 0)) && has_space "${TMPDIR:-/tmp}" "$2" && has_space /var/tmp "$2"
}

has_space() {
	free=$(df -Pk -- "$1" | awk 'END { print int($4 / 1048576) }')
	[ -n "$free" ] || { say "nobody says how much room $1 has" && return 1; }
	[ "$free" -ge "$2" ] && return
	say "$1 has $free GiB free, and the tests want $2"
	return 1
}

find_zdb() { ZDB=$(tools/zfs-judges) && export ZDB; }

# A whole ZFS in user space, for the tests of pools that are privileged. What was unpacked serves again.
find_zfs_fuse() {
	ZFS_FUSE=$here/image-builder/target/judges/zfs-fuse/zfs-fuse
	[ -x "$ZFS_FUSE" ] || bench/zfs-fuse "${ZFS_FUSE%/*}" || return
	export ZFS_FUSE
}

# ---- stages ----------------------------------------------------------------

both() {
	for workspace in image-builder sysconfig; do
		(cd "$workspace" && "$@") || return 1
	done
}

check_format() {
	cargo fmt --version >/dev/null 2>&1 || { say "rustfmt is not installed" && return 77; }
	both cargo fmt --all --check
}

check_lints() {
	cargo clippy --version >/dev/null 2>&1 || { say "clippy is not installed" && return 77; }
	both cargo clippy --quiet --locked --all-targets -- -D warnings
}

# sources PATHSPEC...: the files of the checkout, whoever owns it, and also where it is no git checkout.
sources() {
	git -c safe.directory='*' ls-files -- "$@" 2>/dev/null | grep . ||
		find . -name target -prune -o -name .git -prune -o -type f \( -name "${1:-*}" \) -print | sed 's|^[.]/||' | grep .
}

lint_shell() {
	command -v shellcheck >/dev/null 2>&1 || { say "shellcheck is not installed" && return 77; }
	# smf_include.sh is on illumos only.
	sources | while read -r file; do
		head -n 2 "$file" 2>/dev/null | grep -qE '^#!/bin/(sh|bash)|^# shellcheck shell=' && printf '%s\n' "$file"
	done >"$scratch/scripts"
	grep -qx dev-test.sh "$scratch/scripts" || { say "not even this script was found" && return 1; }
	while read -r script; do
		shellcheck -e SC1091 "$script" && sh -n "$script" || return 1
	done <"$scratch/scripts"
	say "$(wc -l <"$scratch/scripts") scripts"
}

lint_manifests() {
	command -v xmllint >/dev/null 2>&1 || { say "xmllint is not installed" && return 77; }
	sources '*.xml' >"$scratch/manifests" || { say "no manifest was found" && return 1; }
	tr '\n' '\0' <"$scratch/manifests" | xargs -0 xmllint --nonet --noout && say "$(wc -l <"$scratch/manifests") manifests"
}

# What "cargo build --release" makes for guests has nothing of the simulated machines: a feature that one package wants is
# there for all that are built with it.
check_features() {
	(cd sysconfig && cargo tree --locked --target all -e features,no-dev -i sysconfig-platform) >"$scratch/features" || return
	grep -q 'sysconfig-plugin-zpool' "$scratch/features" || { say "the plugins were not looked at" && return 1; }
	! grep -A 3 'feature "fake"' "$scratch/features"
}

unit_tests() {
	if cargo nextest --version >/dev/null 2>&1; then
		(cd "$1" && cargo nextest run --locked --no-fail-fast --status-level slow --final-status-level fail)
	else
		(cd "$1" && cargo test --locked --quiet --no-fail-fast)
	fi
}

# And those that are too large for every day; fuzzing has a stage of its own. What is called other_process or play_qemu
# is no test, but a process that the others start.
large_tests() {
	export PROPTEST_CASES="${PROPTEST_CASES:-2048}"
	if cargo nextest --version >/dev/null 2>&1; then
		(cd "$1" && cargo nextest run --locked --cargo-profile soak --no-fail-fast --status-level slow --final-status-level fail \
			--run-ignored all -E 'not test(/(^|::)(other_process|play_qemu)$/) and not test(/(^|::)fuzz_/)')
	else
		(cd "$1" && cargo test --locked --profile soak --quiet --no-fail-fast -- --include-ignored --skip other_process --skip play_qemu --skip fuzz_)
	fi
}

# Every reader of what others wrote, damaged inputs from a new seed on, for a time; a failure says how to repeat it.
fuzz() {
	FUZZ_SECONDS=${FUZZ_SECONDS:-300} FUZZ_START=${FUZZ_START:-$(date +%s)000000}
	export FUZZ_SECONDS FUZZ_START
	say "$1: tests named fuzz_*, $FUZZ_SECONDS s each from seed $FUZZ_START"
	if cargo nextest --version >/dev/null 2>&1; then
		(cd "$1" && cargo nextest run --locked --cargo-profile soak --no-fail-fast --run-ignored all --success-output immediate \
			-E 'test(/(^|::)fuzz_/)')
	else
		(cd "$1" && cargo test --locked --profile soak --no-fail-fast fuzz_ -- --include-ignored --nocapture)
	fi
}

check_templates() {
	cargo build --quiet --release --locked --manifest-path sysconfig/Cargo.toml --target-dir sysconfig/target &&
		cargo build --quiet --release --locked --manifest-path image-builder/Cargo.toml --target-dir image-builder/target &&
		image-builder/target/release/image-builder check &&
		image-builder/target/release/image-builder check -T bench/templates -E sysconfig/target/release \
			-E sysconfig/image/templates/files/dev || return
	command -v python3 >/dev/null 2>&1 || { say "python3 is not installed" && return 77; }
	tests/public-templates image-builder/crates/image-steps/tests/collections
}

deny() {
	cargo deny --version >/dev/null 2>&1 || cargo install --quiet --locked cargo-deny ||
		{ say "cargo-deny is not installed: cargo install --locked cargo-deny" && return 77; }
	both cargo deny --log-level error --config ../deny.toml check --hide-inclusion-graph licenses bans sources
}

other_systems() {
	compiler=$(tools/rust-std-source) || return $?
	for target in x86_64-unknown-illumos x86_64-unknown-freebsd; do
		for workspace in image-builder sysconfig; do
			# The guest software runs on illumos and Linux only.
			[ "$workspace/$target" = sysconfig/x86_64-unknown-freebsd ] && continue
			say "$workspace for $target"
			(cd "$workspace" && RUSTC=$compiler RUSTC_BOOTSTRAP=1 cargo check --quiet --locked -Zbuild-std --target "$target") || return 1
		done
	done
}

# Tens of thousands of files of somebody else's making, below the made-up base of the tests of pools. The development
# image over it is left for the kernel.
real_root() {
	tools/real-root "$scratch/root.tar" || return
	ILLUMOS_ROOT_UNDERLAY=$scratch/root.tar DEV_IMAGE_COPY=$scratch/dev.raw
	export ILLUMOS_ROOT_UNDERLAY DEV_IMAGE_COPY
}

dev_image_in_kernel() {
	[ -f "$scratch/dev.raw" ] || { say "the tests have left no development image" && return 77; }
	tests/zfs-kernel "$scratch/dev.raw"
}

# What tested nothing, told by the reason, because the reason says what to install.
report_skips() {
	[ -z "$skips" ] || say "Skipped:$skips"
	[ -s "$SKIPPED_JUDGES" ] || return 0
	say "Tests that tested nothing:"
	sort -u "$SKIPPED_JUDGES" | cut -f 1 | uniq -c | sed 's/^ *\([0-9]*\) /     \1 tests: /'
}

# Random inputs are the same every day, so that a failure is the fault of what changed; soak looks for new ones.
if [ "$tier" = soak ]; then export SOAK=1; else export PROPTEST_RNG_SEED="${PROPTEST_RNG_SEED:-0}"; fi
say "dev-test.sh, tier $tier, $(date -u +%Y-%m-%dT%H:%M:%SZ), $(rustc --version)"
case $tier in
fast) space='8 2' ;;
full) space='12 4' ;;
soak) space='20 30' ;;
esac
# Two numbers.
# shellcheck disable=SC2086
preparation "disk space" check_space $space
preparation "judges" install_judges
stage "format" check_format
stage "shell scripts" lint_shell
stage "service manifests" lint_manifests
stage "what dev-build.sh refuses, does and leaves when interrupted" tests/dev-build
preparation "zdb, from the package archive where it is not installed" find_zdb
preparation "zfs-fuse, from the package archive" find_zfs_fuse
if [ "$tier" = soak ]; then
	unit_tests=large_tests
	preparation "a real root file system" real_root
else
	unit_tests=unit_tests
fi
stage "unit and integration tests of image-builder" "$unit_tests" image-builder
stage "unit and integration tests of sysconfig" "$unit_tests" sysconfig
stage "clippy" check_lints
stage "a workspace on a real ZFS" tests/zfs-workspace
stage "templates" check_templates
stage "licences, bans and sources" deny
stage "features of what is released" check_features
stage "type check for illumos and FreeBSD" other_systems
if [ "$tier" != fast ]; then
	stage "development loop in a virtual machine" tests/dev-loop
fi
if [ "$tier" = soak ]; then
	stage "fuzzing of image-builder" fuzz image-builder
	stage "fuzzing of sysconfig" fuzz sysconfig
	stage "lowest Rust version" tools/check-lowest-rust
	stage "pools in a kernel with OpenZFS" tests/zfs-kernel
	stage "the development image in a kernel with OpenZFS" dev_image_in_kernel
fi

say ""
report_skips
[ -z "$failures" ] || say "Failed:$failures"
say "$passed passed, $failed failed, $skipped skipped"
[ -z "$only" ] || say "Of the stages only those with \"$only\" in their names were run."
[ "$failed" -eq 0 ]
