#!/bin/sh
#
# Runs every test, the fast ones first. "dev-test.sh -h" says how it is used.
#
# A judge is a program that nobody here wrote: sgdisk, e2fsck, QEMU. One that is
# missing is installed when this runs as root on a Debian-like system; otherwise
# its tests are skipped, loudly, and with CI=true that is a failure.

set -u

here=$(cd "$(dirname "$0")" && pwd)
cd "$here" || exit 1
program=$(basename "$0")

usage() {
	cat <<USAGE
usage: $program [--fast] [--soak] [-h]

      --fast   leave out what boots a virtual machine or builds an image
      --soak   everything at full size, and the checks that need another toolchain
  -h, --help   this text
USAGE
}

tier=full
while [ $# -gt 0 ]; do
	case $1 in
	--fast) tier=fast ;;
	--soak) tier=soak ;;
	-h | --help) usage && exit 0 ;;
	*) usage >&2 && exit 2 ;;
	esac
	shift
done

passed=0 failed=0 skipped=0 failures=''

say() { printf '%s\n' "$*"; }

# stage NAME COMMAND...: exit status 77 says that a judge is missing, 78 that it is
# not to be had anywhere; both have told their reason.
stage() {
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
	openssh-client:ssh libxml2-utils:xmllint python3:python3 gcc:cc"

install_judges() {
	wanted=''
	for pair in $judges; do
		PATH=$PATH:/usr/sbin:/sbin command -v "${pair#*:}" >/dev/null 2>&1 || wanted="$wanted ${pair%:*}"
	done
	ls /usr/share/qemu/firmware/*.json >/dev/null 2>&1 || wanted="$wanted ovmf"
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

# ---- stages ----------------------------------------------------------------

both() {
	for workspace in image-builder sysconfig; do
		(cd "$workspace" && "$@") || return 1
	done
}

lint_shell() {
	command -v shellcheck >/dev/null 2>&1 || { say "shellcheck is not installed" && return 77; }
	# smf_include.sh is on illumos only.
	git ls-files -z | xargs -0 grep -lE '^#!/bin/(sh|bash)' | while read -r script; do
		shellcheck -e SC1091 "$script" && sh -n "$script" || exit 1
	done
}

unit_tests() {
	if cargo nextest --version >/dev/null 2>&1; then
		(cd "$1" && cargo nextest run --locked --no-fail-fast --status-level slow --final-status-level fail)
	else
		(cd "$1" && cargo test --locked --quiet --no-fail-fast)
	fi
}

check_templates() {
	cargo build --quiet --release --locked --manifest-path sysconfig/Cargo.toml &&
		cargo build --quiet --release --locked --manifest-path image-builder/Cargo.toml &&
		image-builder/target/release/image-builder check
}

deny() {
	cargo deny --version >/dev/null 2>&1 || cargo install --quiet --locked cargo-deny ||
		{ say "cargo-deny is not installed: cargo install --locked cargo-deny" && return 77; }
	both cargo deny --log-level error --config ../deny.toml check --hide-inclusion-graph licenses bans sources
}

other_systems() {
	tools/rust-std-source || return $?
	for target in x86_64-unknown-illumos x86_64-unknown-freebsd; do
		for workspace in image-builder sysconfig; do
			# The guest software runs on illumos and Linux only.
			[ "$workspace/$target" = sysconfig/x86_64-unknown-freebsd ] && continue
			say "$workspace for $target"
			(cd "$workspace" && RUSTC_BOOTSTRAP=1 cargo check --quiet --locked -Zbuild-std --target "$target") || return 1
		done
	done
}

say "dev-test.sh, tier $tier, $(date -u +%Y-%m-%dT%H:%M:%SZ), $(rustc --version)"
stage "judges" install_judges
stage "format" both cargo fmt --all --check
stage "shell scripts" lint_shell
stage "unit and integration tests of image-builder" unit_tests image-builder
stage "unit and integration tests of sysconfig" unit_tests sysconfig
stage "clippy" both cargo clippy --quiet --locked --all-targets -- -D warnings
stage "templates" check_templates
stage "licences, bans and sources" deny
stage "type check for illumos and FreeBSD" other_systems
if [ "$tier" != fast ]; then
	stage "development loop in a virtual machine" tests/dev-loop
fi
if [ "$tier" = soak ]; then
	stage "lowest Rust version" tools/check-lowest-rust
fi

say ""
[ -z "$failures" ] || say "Failed:$failures"
say "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
