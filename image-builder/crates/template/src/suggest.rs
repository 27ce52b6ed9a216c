//! "Did you mean": the nearest of the names that exist.

/// The nearest candidate, when one is near enough to be worth suggesting.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest_all(word, candidates, 1).into_iter().next()
}

/// At most `limit` candidates that are near `word`, the nearest first.
pub(crate) fn nearest_all<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>, limit: usize) -> Vec<&'a str> {
    // A third of the word may differ; a swap of neighbours counts once, as people make that slip often.
    let allowed = (word.chars().count() / 3).max(1);
    let mut near: Vec<(usize, &str)> = candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .collect();
    near.sort_unstable();
    near.dedup();
    near.into_iter().take(limit).map(|(_, candidate)| candidate).collect()
}

/// `a`, `b` and `c`, each in backquotes.
pub(crate) fn quoted_list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let names = ["owner", "group", "mode", "file"];
        assert_eq!(nearest("onwer", names), Some("owner"));
        assert_eq!(nearest("gruop", names), Some("group"));
        assert_eq!(nearest("mod", names), Some("mode"));
        assert_eq!(nearest("password", names), None);
    }

    #[test]
    fn lists_read_as_english() {
        assert_eq!(quoted_list([]), "");
        assert_eq!(quoted_list(["a"]), "`a`");
        assert_eq!(quoted_list(["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
