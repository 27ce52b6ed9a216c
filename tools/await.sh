# shellcheck shell=sh
#
# For a script that is interrupted: what takes long runs through "await", so that a
# signal to the script ends all that it started, and at once. A shell by itself waits for
# a program in the foreground, or dies and leaves it behind.
#
#     . tools/await.sh
#     trap 'interrupted 130' INT
#     await COMMAND...

# The program that is being waited for; a file to be removed when it does not come to its end; whether the
# program must come to its end whatever happens.
child='' partial='' to_the_end=''

await() {
	"$@" &
	child=$!
	status=0
	wait "$child" || status=$?
	child=''
	return "$status"
}

# For what a signal must not end, as it would leave the machine in a state that nothing works from.
await_to_the_end() {
	to_the_end=yes
	await "$@"
	to_the_end=''
}

# descendants PID: it and all that it started, as far as ps can tell.
descendants() {
	echo "$1"
	ps -A -o pid= -o ppid= 2>/dev/null | awk -v root="$1" '
		{ parent[$1] = $2 }
		END {
			for (pid in parent) {
				at = pid
				while (at in parent && at != root) at = parent[at]
				if (at == root && pid != root) print pid
			}
		}'
}

any_alive() {
	for pid in $1; do
		! kill -0 "$pid" 2>/dev/null || return 0
	done
	return 1
}

# interrupted STATUS: ends what runs, politely and then not, and the script with it.
interrupted() {
	trap '' INT TERM HUP
	if [ -n "$child" ] && [ -n "$to_the_end" ]; then
		echo "Waiting for the end of what must not be interrupted" >&2
		wait "$child" || true
	elif [ -n "$child" ]; then
		family=$(descendants "$child")
		for signal in TERM KILL; do
			# The list is wanted as words.
			# shellcheck disable=SC2086
			kill -s "$signal" $family 2>/dev/null || true
			tries=0
			while [ "$tries" -lt 200 ] && any_alive "$family"; do
				sleep 0.1 2>/dev/null || sleep 1
				tries=$((tries + 1))
			done
		done
	fi
	[ -z "$partial" ] || rm -f "$partial"
	echo "$(basename "$0"): interrupted; run it again to go on" >&2
	exit "$1"
}
