# shellcheck shell=sh
#
# For dev-build.sh, whose variables these functions share: --doctor. Looks at everything between a fresh checkout and a
# guest that runs what was built, in the order in which it has to work, changes nothing, and says how to mend what is
# wrong. The words are those of "sysconfigctl doctor", which looks at the guest.
# shellcheck disable=SC2154,SC2034

doctor_status=0 wrong_things=0

# verdict WORD WHAT FOUND [HELP]
verdict() {
	printf '%-5s  %s: %s\n' "$1" "$2" "$3"
	[ -z "${4:-}" ] || printf '       help: %s\n' "$4"
	[ "$1" != WRONG ] || { doctor_status=1 && wrong_things=$((wrong_things + 1)); }
}

has() { PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null 2>&1; }

# package_help PACKAGE...: how what is in Debian's packages gets here.
package_help() {
	if has apt-get; then
		echo "sudo apt-get install --no-install-recommends $*"
	else
		echo "install what Debian packages as: $*"
	fi
}

# program WHAT PROGRAM PACKAGE
program() {
	if has "$2"; then verdict ok "$1" "$2"; else verdict WRONG "$1" "$2 is not installed" "$(package_help "$3")"; fi
}

look_at_everything() {
	look_at_tools
	look_at_workspace
	look_at_programs
	look_at_image
	look_at_virtualization
	look_at_machine
	say ""
	case $wrong_things in
	0) say "Nothing is wrong." ;;
	1) say "1 thing is wrong." ;;
	*) say "$wrong_things things are wrong. Mend the first one first." ;;
	esac
}

look_at_tools() {
	version=$(rust_version)
	rustup_bin=${CARGO_HOME:-${HOME:-/nonexistent}/.cargo}/bin
	if [ -z "$version" ] && [ -x "$rustup_bin/rustc" ]; then
		PATH=$rustup_bin:$PATH
		version=$(rust_version)
	fi
	if [ -z "$version" ]; then
		verdict WRONG Rust "not installed" "install rustup (https://rustup.rs)"
	elif at_least "$version" "$rust_wanted"; then
		verdict ok Rust "$version"
	else
		verdict WRONG Rust "$version, and $rust_wanted or newer is needed" "rustup update stable"
	fi
	program "C compiler" cc gcc
	if [ "$guest" = debian ]; then
		machine=$(uname -m)
		case $system/$machine in
		Linux/x86_64 | Linux/amd64) verdict ok host "$system on $machine, as the guest" ;;
		*) verdict WRONG host "$system on $machine, and the Debian guest runs what an amd64 Linux builds" "use such a host, or --guest openindiana" ;;
		esac
		program "root file system" mmdebstrap mmdebstrap
		[ "$(id -u)" -eq 0 ] || program "root file system without root" newuidmap uidmap
		program "file system writer" genext2fs genext2fs
		program "file system tools" tune2fs e2fsprogs
	else
		choose_illumos_build
		[ -z "$illumos_problem" ] || illumos_with=wrong
		case $illumos_with in
		wrong) verdict WRONG "sysconfig for illumos" "$illumos_problem" "correct or unset the variable; docs/building-images.md" ;;
		none) verdict WRONG "sysconfig for illumos" "this host cannot build it" "name a linker (CARGO_TARGET_X86_64_UNKNOWN_ILLUMOS_LINKER, ILLUMOS_SYSROOT), install cross (with docker or podman, and rustup), or build on an illumos; docs/building-images.md" ;;
		linker) verdict ok "sysconfig for illumos" "built with the linker $illumos_linker" ;;
		*) verdict ok "sysconfig for illumos" "$illumos_with" ;;
		esac
	fi
}

look_at_workspace() {
	case $where in
	/* | ./* | ../* | . | ..) ;;
	*)
		if ! has zfs; then
			verdict WRONG workspace "$where is a ZFS dataset, and this host has no zfs command" "for a directory: -d ./$where"
			return
		elif ! zfs list -H -o name "$where" >/dev/null 2>&1; then
			verdict WRONG workspace "there is no dataset $where" "zfs create -p $where"
			return
		fi
		;;
	esac
	output=$(output_of "$where")
	[ -n "$output" ] || { verdict odd workspace "$where has no output yet" "$program -d $where makes it" && return; }
	available=$(($(free_kilobytes "$output") / 1024))
	if [ "$available" -lt 4096 ]; then
		verdict WRONG workspace "$available MiB are free where $where is or will be, and a build takes up to 4 GiB" "make room, or name another place with -d; image-builder gc -d $where removes what no build needs"
	else
		verdict ok workspace "$where, $available MiB are free"
	fi
	base_file=$output/$base_name
	if [ -f "$base_file" ]; then
		verdict ok base "$base_file"
	else
		verdict odd base "no $base_file yet" "$program makes it; --base FILE takes one that was made elsewhere"
	fi
}

look_at_programs() {
	for built in image-builder dev-vm; do
		path=$here/image-builder/target/release/$built
		if [ -x "$path" ]; then verdict ok "$built" "$path"; else verdict odd "$built" "not built yet" "$program builds it"; fi
	done
	if [ -h "$here/sysconfig/target" ]; then
		# An absolute link leads elsewhere in the guest, also one into the checkout.
		case $(readlink "$here/sysconfig/target"):$(cd "$here/sysconfig/target" 2>/dev/null && pwd -P)/ in
		/*) outside=1 ;;
		*:"$(cd "$here" && pwd -P)"/*) outside='' ;;
		*) outside=1 ;;
		esac
		[ -z "$outside" ] || verdict WRONG "build directory" "$here/sysconfig/target is a link, and what it leads to is not in the share" "put a directory there, and build again"
	fi
	directory=$here/sysconfig/target/release
	[ "$guest" != openindiana ] || [ "$system" = SunOS ] || directory=$illumos_build
	if [ ! -x "$directory/sysconfig" ]; then
		verdict odd sysconfig "no $directory/sysconfig" "$program --guest $guest builds it"
	else
		plugins=$(find "$directory" -maxdepth 1 -type f -name 'sysconfig-plugin-*' ! -name '*.d' | wc -l | tr -d ' ')
		verdict ok sysconfig "$directory/sysconfig and $plugins plugins"
	fi
	files=$here/sysconfig/image/templates/files
	if [ -d "$files" ]; then verdict ok "template files" "$files"; else verdict WRONG "template files" "no $files" "git restore sysconfig/image"; fi
}

look_at_image() {
	image=$(output_of "$where")/cloudimage-$template.raw
	if [ -f "$image" ]; then
		verdict ok image "$image"
	else
		verdict odd image "no $image yet" "$program -d $(quoted "$where") --guest $guest builds it"
	fi
}

look_at_virtualization() {
	case $(hypervisor) in
	qemu)
		verdict ok hypervisor qemu-system-x86_64
		has qemu-img || verdict odd "disk images" "no qemu-img, which images in qcow2 form are made with" "$(package_help qemu-utils)"
		if has_firmware; then
			verdict ok firmware "UEFI firmware is installed"
		else
			verdict WRONG firmware "no UEFI firmware for QEMU" "$(package_help ovmf)"
		fi
		if [ "$system" != Linux ]; then
			:
		elif [ ! -e /dev/kvm ]; then
			verdict odd acceleration "no /dev/kvm: the processor is emulated, which is slow" "switch virtualization on in the firmware's settings; in a virtual machine, nested virtualization on its host"
		elif [ ! -w /dev/kvm ]; then
			verdict odd acceleration "$(id -un) may not use /dev/kvm: the processor is emulated, which is slow" "sudo usermod -aG kvm $(id -un), and log in again"
		else
			verdict ok acceleration "/dev/kvm may be used; whether it works, dev-vm tries at the first start"
		fi
		;;
	bhyve) verdict ok hypervisor bhyve ;;
	libvirt) verdict ok hypervisor "libvirt (virsh)" ;;
	*) verdict WRONG hypervisor "neither QEMU, bhyve nor libvirt is installed" "$(package_help qemu-system-x86 qemu-utils ovmf)" ;;
	esac
	! has bhyve || look_at_bhyve
	program ssh ssh openssh-client
}

# What dev-vm takes unless its variables name something else; it says the same when it starts a machine. Options of
# bhyve's may follow the network's name.
look_at_bhyve() {
	network=${DEV_VM_BHYVE_NETWORK:-} network=${network%%,*}
	if [ "$system" = SunOS ]; then
		firmware=/usr/share/bhyve/firmware/BHYVE_UEFI.fd network=${network:-dev0} look='dladm show-vnic' as_root=pfexec
		firmware_help='"pkg search -r BHYVE_UEFI.fd" names its package' network_help="dladm create-vnic -t -l LINK $network"
	else
		firmware=/usr/local/share/uefi-firmware/BHYVE_UEFI.fd network=${network:-tap0} look=ifconfig as_root=sudo
		firmware_help='pkg install edk2-bhyve'
		network_help="ifconfig $network create && ifconfig bridge0 create addm LINK addm $network up"
		[ -e /dev/vmm ] || kldstat -q -m vmm 2>/dev/null ||
			verdict odd "bhyve's module" "vmm is not loaded" "kldload vmm"
	fi
	firmware=${DEV_VM_BHYVE_FIRMWARE:-$firmware}
	[ "$(id -u)" -eq 0 ] || verdict odd "bhyve's user" "only root runs a machine with it" "$as_root dev-vm …"
	if [ -f "$firmware" ]; then
		verdict ok "bhyve's firmware" "$firmware"
	else
		verdict odd "bhyve's firmware" "no $firmware" "$firmware_help; DEV_VM_BHYVE_FIRMWARE names another file"
	fi
	if $look "$network" >/dev/null 2>&1; then
		verdict ok "bhyve's network" "$network"
	else
		verdict odd "bhyve's network" "no $network" "$network_help; DEV_VM_BHYVE_NETWORK names another device"
	fi
}

# The machine, and through it the guest.
look_at_machine() {
	dev_vm=$here/image-builder/target/release/dev-vm
	[ -x "$dev_vm" ] || { verdict "?" machine "cannot be looked at before dev-vm is built" && return; }
	command_line="$(quoted "$dev_vm") -d $(quoted "$where")"
	status=0
	said=$("$dev_vm" -d "$where" status 2>&1) || status=$?
	case $status in
	0) ;;
	3) verdict odd machine "it is stopped" "$command_line up" && return ;;
	4) verdict odd machine "there is none yet" "$program -d $(quoted "$where") --guest $guest --run" && return ;;
	*) verdict WRONG machine "$(printf '%s' "$said" | tr '\n' ' ')" "$command_line status" && return ;;
	esac
	state=$(printf '%s\n' "$said" | sed -n 's/^state  *//p')
	verdict ok machine "$state"
	share=$(printf '%s\n' "$said" | sed -n 's/^share  *//p')
	case $share in
	"$here "*) verdict ok share "$share" ;;
	none) verdict WRONG share "the guest sees no directory of the host" "$command_line down, then $command_line up --share $(quoted "$here")" ;;
	*) verdict odd share "$share, which is not this checkout" "$command_line down, then $command_line up --share $(quoted "$here")" ;;
	esac
	case $said in
	*"does not fit it any more"*) verdict odd "machine's disk" "the image changed since it was made" "$program … --run --recreate" ;;
	esac
	case $state in
	ready*) ;;
	running*) verdict "?" guest "bhyve runs it, and nothing leads into it but its console" "log in there as root, and run: sysconfigctl doctor" && return ;;
	*) verdict "?" guest "it is not ready yet" "$command_line logs" && return ;;
	esac
	status=0
	"$dev_vm" -d "$where" exec -- sysconfigctl doctor >"$scratch/guest" 2>&1 || status=$?
	say ""
	say "In the guest, by sysconfigctl doctor:"
	cat "$scratch/guest"
	case $status in
	0) ;;
	1) doctor_status=1 && wrong_things=$((wrong_things + 1)) ;;
	*) verdict WRONG guest "it cannot be asked (exit status $status)" "$command_line console; log in as root" ;;
	esac
}
