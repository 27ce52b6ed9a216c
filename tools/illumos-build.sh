# shellcheck shell=sh
#
# For dev-build.sh, whose variables these functions share: how sysconfig is built for an illumos guest on a host that is
# no illumos. Rust's part is one command of rustup; what a host lacks is illumos' C library and a linker for it.
# shellcheck disable=SC2154,SC2034

illumos_target=x86_64-unknown-illumos
# Linkers by the names that illumos' cross tools have.
illumos_linkers='x86_64-unknown-illumos-gcc x86_64-illumos-gcc x86_64-pc-solaris2.11-gcc'
illumos_with='' illumos_linker='' illumos_problem=''
# Where cross builds. Build scripts of this host's own builds want its C library. In one directory with them, the
# container, which has an older one, takes them for its own and cannot run them.
illumos_cross=$here/sysconfig/target/cross

# Sets illumos_with: native, linker, cross, present or none; and illumos_problem when the user's own words are wrong.
choose_illumos_build() {
	sysroot=${ILLUMOS_SYSROOT:-}
	[ -z "$sysroot" ] || [ -d "$sysroot/usr/include" ] || [ -d "$sysroot/usr/lib" ] ||
		illumos_problem="ILLUMOS_SYSROOT=$sysroot: no usr/lib of an illumos in it"
	illumos_linker=${CARGO_TARGET_X86_64_UNKNOWN_ILLUMOS_LINKER:-}
	if [ -z "$illumos_linker" ]; then
		for candidate_linker in $illumos_linkers; do
			! command -v "$candidate_linker" >/dev/null 2>&1 || { illumos_linker=$candidate_linker && break; }
		done
	elif ! command -v "$illumos_linker" >/dev/null 2>&1; then
		illumos_problem="${illumos_problem:+$illumos_problem; }CARGO_TARGET_X86_64_UNKNOWN_ILLUMOS_LINKER=$illumos_linker: no such program"
	fi
	engine=${CROSS_CONTAINER_ENGINE:-}
	[ -n "$engine" ] || ! command -v docker >/dev/null 2>&1 || engine=docker
	[ -n "$engine" ] || ! command -v podman >/dev/null 2>&1 || engine=podman
	if [ "$system" = SunOS ]; then
		illumos_with=native
	elif [ -n "$illumos_linker" ]; then
		illumos_with=linker
	elif command -v cross >/dev/null 2>&1 && command -v rustup >/dev/null 2>&1 && [ -n "$engine" ]; then
		illumos_with=cross
	elif [ -x "$illumos_build/sysconfig" ] && [ -x "$illumos_build/sysconfigctl" ] && [ -x "$illumos_build/ninep-mirror" ]; then
		illumos_with=present
	else
		illumos_with=none
	fi
}

# An illumos guest runs illumos executables only. Those of this host are refused when the image is made.
announce_illumos_build() {
	choose_illumos_build
	[ -z "$illumos_problem" ] || fail "$illumos_problem"
	case $illumos_with in
	linker) say "Building sysconfig for illumos with the linker $illumos_linker${ILLUMOS_SYSROOT:+ and the sysroot $ILLUMOS_SYSROOT}" ;;
	cross) say "Building sysconfig for illumos with cross ($engine), which fetches a container with illumos' C library once" ;;
	present) say "Taking sysconfig for illumos from $illumos_build, which this host does not rebuild" ;;
	none)
		illumos_choices >&2
		[ -z "$makes_base" ] || ends_with_base=yes
		[ -z "$makes_base" ] || say "Until then this run ends with the base."
		;;
	esac
}

illumos_choices() {
	cat <<CHOICES
Note: what this host builds does not run on illumos, so a base that is one will be refused when sysconfig
is put into it. One of these gives it a sysconfig:
  a linker   a gcc for illumos and illumos' own libraries ("sysroot", as the project illumos/sysroot publishes):
                 CARGO_TARGET_X86_64_UNKNOWN_ILLUMOS_LINKER=x86_64-unknown-illumos-gcc ILLUMOS_SYSROOT=DIR $program …
  cross      the same in a container, with docker or podman, and rustup: cargo install --locked cross
  illumos    "cargo build --release" there, in sysconfig; its target/release goes to this host as
                 $illumos_build
CHOICES
}

# The standard library for the target; only a linker of the host needs it here.
need_illumos_target() {
	[ "$illumos_with" = linker ] || return 0
	[ ! -d "$(rustc --print target-libdir --target "$illumos_target" 2>/dev/null)" ] || return 0
	command -v rustup >/dev/null 2>&1 ||
		fail "this Rust has no standard library for illumos, and there is no rustup to fetch it. Install rustup (https://rustup.rs), then: rustup target add $illumos_target"
	say "Fetching Rust's standard library for illumos"
	await rustup --quiet target add "$illumos_target" ||
		fail "rustup could not fetch it: rustup target add $illumos_target"
}

# take_programs FROM TO: what cargo left there, where it is not the same already. Each takes its place by a rename, so
# that a guest sees the old one or the new one, and is made beside the directory that guests look into.
take_programs() {
	mkdir -p "$2" || return 1
	for built in "$1"/*; do
		taken=$2/${built##*/}
		if [ -f "$built" ] && [ -x "$built" ] && ! cmp -s "$built" "$taken"; then
			partial=$(dirname "$2")/.${built##*/}.new
			cp -p "$built" "$partial" && mv -f "$partial" "$taken" || return 1
			partial=''
		fi
	done
}

build_for_illumos() {
	case $illumos_with in
	linker)
		flags=${CARGO_TARGET_X86_64_UNKNOWN_ILLUMOS_RUSTFLAGS:-}
		[ -z "${ILLUMOS_SYSROOT:-}" ] || flags="${flags:+$flags }-C link-arg=--sysroot=$ILLUMOS_SYSROOT"
		# Through env, not a subshell: an interrupt must find what runs.
		await env CARGO_TARGET_X86_64_UNKNOWN_ILLUMOS_LINKER="$illumos_linker" \
			${flags:+CARGO_TARGET_X86_64_UNKNOWN_ILLUMOS_RUSTFLAGS="$flags"} \
			cargo build --quiet --release --locked --manifest-path "$here/sysconfig/Cargo.toml" \
			--target-dir "$here/sysconfig/target" --target "$illumos_target" || return 1
		;;
	cross)
		# sysconfig/Cross.toml names the variable: the container sees the whole checkout, at its own path. From a
		# directory above the workspace cross would show it that one too. It passes on what names a linker, even if
		# that is nothing, and the container knows its own.
		# shellcheck disable=SC2016
		await env DEV_BUILD_CHECKOUT="$here" CROSS_CONFIG="$here/sysconfig/Cross.toml" \
			sh -c 'unset CARGO_TARGET_X86_64_UNKNOWN_ILLUMOS_LINKER; cd "$1" && shift && exec cross "$@"' sh \
			"$here/sysconfig" build --quiet --release --locked --target-dir "$illumos_cross" \
			--target "$illumos_target" || return 1
		take_programs "$illumos_cross/$illumos_target/release" "$illumos_build" || return 1
		;;
	esac
	case $illumos_with in linker | cross | present) external=$illumos_build ;; esac
}
