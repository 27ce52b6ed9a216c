#!/bin/sh
#
# Builds the development cloud image, from a fresh clone to a bootable disk.
# "dev-build.sh -h" says how it is used; README.md says what to expect.
#
# It runs under any POSIX shell. Everything that takes more than a few lines is
# done by image-builder and dev-vm; this script only sees to it that they can run.

set -eu

# The checkout is where the script really is, through whatever links it was called.
self=$0
while [ -L "$self" ]; do
	link=$(readlink "$self")
	case $link in /*) self=$link ;; *) self=$(dirname "$self")/$link ;; esac
done
here=$(cd "$(dirname "$self")" && pwd)
program=$(basename "$0")
# What other programs say is read here, so they say it in one language.
export LC_ALL=C

usage() {
	cat <<USAGE
usage: $program [-d WHERE] [-o DIR] [--guest openindiana|debian] [--base FILE]
       [--refresh] [--run] [--recreate] [--watch] [-h]
       $program --doctor [-d WHERE] [--guest openindiana|debian]

  -d, --dataset WHERE   workspace: a directory when it begins with /, ./ or ../,
                        else a ZFS dataset (default: ./images)
  -o, --output-dir DIR  copy the finished image there
      --guest GUEST     openindiana (default) or debian
      --base FILE       the root file system of the guest as a tar, instead of
                        the one that would be made or is in the workspace's output
      --refresh         lock the newest package versions
      --run             boot the image and wait until the guest says ready
      --recreate        with --run: begin with the image as it is now, and throw away what
                        the guest wrote to its disk
      --watch           rebuild sysconfig and its plugins whenever a source changes
      --doctor          build nothing: look at this host, the workspace, the machine and the
                        guest, and say of everything that is wrong how to mend it
  -h, --help            this text

An OpenIndiana image on a host that is no illumos needs a sysconfig built for it: with
CARGO_TARGET_X86_64_UNKNOWN_ILLUMOS_LINKER and ILLUMOS_SYSROOT, or with cross; a run says which.
USAGE
}

say() { printf '%s\n' "$*"; }
fail() { printf '%s: %s\n' "$program" "$*" >&2; exit 1; }
usage_error() { printf '%s: %s\n' "$program" "$*" >&2; usage >&2; exit 2; }

# quoted WORD: as a shell takes it back.
quoted() {
	case $1 in
	'' | *[!A-Za-z0-9_./:=@%+,-]*) printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")" ;;
	*) printf '%s' "$1" ;;
	esac
}

# ---- options ---------------------------------------------------------------

where=./images output_dir='' guest=openindiana base='' refresh='' run='' recreate='' watch='' doctor=''
while [ $# -gt 0 ]; do
	case $1 in
	--*=*)
		option=${1%%=*} value=${1#*=}
		shift
		set -- "$option" "$value" "$@"
		;;
	esac
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
	--recreate) recreate=--recreate && shift ;;
	--watch) watch=yes && shift ;;
	--doctor) doctor=yes && shift ;;
	-h | --help) usage && exit 0 ;;
	*) usage_error "unknown argument: $1" ;;
	esac
done
[ -z "$recreate" ] || [ -n "$run" ] || usage_error "--recreate is about the machine that --run starts"
case $guest in
debian) template=ttys0-debian-dev base_name=debian-base.tar ;;
openindiana) template=ttya-openindiana-hipster-dev base_name=openindiana-hipster.tar.gz ;;
*) usage_error "--guest is openindiana or debian, not $guest" ;;
esac

# ---- interruption ----------------------------------------------------------

. "$here/tools/await.sh"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"; [ -z "$partial" ] || rm -f "$partial"' EXIT
trap 'interrupted 130' INT
trap 'interrupted 143' TERM
trap 'interrupted 129' HUP

# ---- what can be made here, before anything is made -------------------------

system=$(uname -s)
# tools/illumos-build.sh and tools/doctor.sh read it.
# shellcheck disable=SC2034
illumos_build=$here/sysconfig/target/x86_64-unknown-illumos/release
. "$here/tools/can-build.sh"
. "$here/tools/illumos-build.sh"

if [ -n "$doctor" ]; then
	. "$here/tools/prerequisites.sh"
	. "$here/tools/doctor.sh"
	look_at_everything
	# tools/doctor.sh sets it.
	# shellcheck disable=SC2154
	exit "$doctor_status"
fi

case $where in
/* | ./* | ../* | . | ..) ;;
*)
	command -v zfs >/dev/null 2>&1 ||
		fail "-d $where names a ZFS dataset, and this host has no zfs command. For a directory: -d ./$where"
	;;
esac

# Whether the base is taken as it is, because this host makes none or another was given.
no_deps=${base:+--no-deps}
# Whether a base of OpenIndiana has to be made, and whether this host can make nothing beyond it. tools/can-build.sh
# sets and reads the former.
# shellcheck disable=SC2034
makes_base='' ends_with_base=''
case $guest in
debian) check_host_for_debian ;;
openindiana) check_base_of_openindiana ;;
esac
[ -z "$base" ] || check_base_file
check_output_dir
[ "$guest" != openindiana ] || announce_illumos_build

# ---- what the machine must have --------------------------------------------

. "$here/tools/prerequisites.sh"

need_rust
need gcc cc
if [ "$system" = Linux ] && command -v cc >/dev/null 2>&1; then
	# A compiler alone cannot link: the C library's own files come in another package.
	echo 'int main(void) { return 0; }' | cc -x c -o /dev/null - 2>/dev/null || missing="$missing libc6-dev"
elif [ "$system" = Linux ]; then
	missing="$missing libc6-dev"
fi
if [ "$guest" = debian ] && [ -z "$no_deps" ]; then
	need mmdebstrap mmdebstrap
	[ "$(id -u)" -eq 0 ] || need uidmap newuidmap
fi
if [ "$guest" = debian ]; then
	need genext2fs genext2fs
	need e2fsprogs tune2fs
fi
[ -z "$run" ] || need_hypervisor
install_missing
need_rust
[ "$guest" != openindiana ] || need_illumos_target

# ---- programs --------------------------------------------------------------

external=$here/sysconfig/target/release

# cargo_build WORKSPACE [OPTION...]: the guest and we look for the programs here, whatever the user's Cargo is told.
cargo_build() {
	workspace=$here/$1
	shift
	await cargo build --quiet --release --locked --manifest-path "$workspace/Cargo.toml" \
		--target-dir "$workspace/target" "$@"
}

build_sysconfig() {
	cargo_build sysconfig || return 1
	[ "$guest" != openindiana ] || build_for_illumos
}

# Names, sizes and times of every source; a poll, because it works on every host and file system.
fingerprint() {
	find "$here/sysconfig" "$here/common" -name target -prune -o \
		\( -name '*.rs' -o -name '*.toml' -o -name '*.lock' \) -type f -exec ls -ln --time-style=+%s%N {} + 2>/dev/null ||
		find "$here/sysconfig" "$here/common" -name target -prune -o \
			\( -name '*.rs' -o -name '*.toml' -o -name '*.lock' \) -type f -exec ls -ln {} +
}
# Before anything is built from them: what is saved from now on is not lost to --watch.
[ -z "$watch" ] || seen=$(fingerprint | cksum)

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
	partial=''
fi

# How much will be fetched is known when the publisher has said which packages there are.
if [ -n "$makes_base" ]; then
	say "Asking the publisher what the stages will bring"
	await "$image_builder" plan -d "$where" -T "$templates" -g openindiana -n hipster-03-archive --ask-publishers
	say ""
fi

if [ -n "$ends_with_base" ]; then
	await "$image_builder" build -d "$where" -T "$templates" -g openindiana -n hipster-03-archive \
		${refresh:+"$refresh"}
	fail "the base is there, $output/$base_name, and the image needs sysconfig for illumos (see above)"
fi

await "$image_builder" build -d "$where" -T "$templates" -E "$external" -g cloudimage -n "$template" \
	${refresh:+"$refresh"} ${no_deps:+"$no_deps"} --print-path >"$scratch/image"
image=$(cat "$scratch/image")

if [ -n "$output_dir" ]; then
	mkdir -p "$output_dir"
	copy=$output_dir/$(basename "$image")
	partial=$copy.new
	await cp "$image" "$partial"
	mv -f "$partial" "$copy"
	partial=''
	image=$copy
fi

say ""
say "Image: $image"
say "Size:  $(du -k "$image" | awk '{ printf "%d MiB on disk", $1 / 1024 }'), $(wc -c <"$image" | awk '{ printf "%d MiB as a disk", $1 / 1048576 }')"
vm_command="$(quoted "$dev_vm") -d $(quoted "$where")"
# These exit statuses of dev-vm (see its --help) mean a next step here.
image_changed=8 not_well=10
run_status=0

run_machine() {
	if "$dev_vm" -d "$where" status >/dev/null 2>&1; then
		if [ -z "$recreate" ]; then
			say ""
			say "The machine runs already and goes on. To boot an image that has changed since it was started: $program … --run --recreate"
			return
		fi
		await "$dev_vm" -d "$where" down
	fi
	# The terminal of a machine of bhyve's is this one, until it is powered off.
	in_turn=await
	[ "$(hypervisor)" != bhyve ] || in_turn=''
	$in_turn "$dev_vm" -d "$where" up --image "$image" --share "$here" ${recreate:+"$recreate"} || run_status=$?
	case $run_status in
	0) ;;
	"$image_changed")
		fail "what the guest wrote belongs to another image. To throw it away and boot this one: $program … --run --recreate"
		;;
	"$not_well") ;; # What is wrong was said, and the machine is there to look at it.
	*) exit "$run_status" ;;
	esac
}

if [ -z "$run" ]; then
	say ""
	say "Next:  $vm_command up --image $(quoted "$image") --share $(quoted "$here")"
else
	run_machine
	say ""
	say "Next:  $vm_command ssh"
fi
say "Then edit a plugin and run: cargo build --release --manifest-path $(quoted "$here/sysconfig/Cargo.toml")"

# ---- watch -----------------------------------------------------------------

if [ -n "$watch" ]; then
	say "Watching $here/sysconfig; interrupt to end${run:+, which leaves the machine running}"
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
exit "$run_status"
