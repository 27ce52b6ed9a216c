# What the benches that write a table have in common. It is sourced by them, with
# "project" set to the checkout.
# shellcheck shell=sh

# The document with the tables. It is written by the benches, and so no part of what was measured.
document=docs/performance.md

# commit: what was measured, and whether it is more than that.
commit() {
	name=$(git -C "${project:?}" describe --always 2>/dev/null) || { echo 'no commit' && return; }
	git -C "$project" diff --quiet HEAD -- . ":(exclude)$document" || name=$name-dirty
	echo "$name"
}

# publish MARK TABLE: puts the table between the marks "<!-- MARK -->" and "<!-- MARK: end -->" of the document.
publish() {
	awk -v mark="$1" -v table="$2" '
		$0 == "<!-- " mark ": end -->" { skip = 0 }
		!skip
		$0 == "<!-- " mark " -->" { skip = 1; print ""; while ((getline line <table) > 0) print line; print "" }' \
		"${project:?}/$document" >"$2.document"
	cp "$2.document" "$project/$document"
}
