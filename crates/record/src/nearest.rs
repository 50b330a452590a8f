/// The known name most like `unknown`, if one is near enough to be a likely misspelling.
#[must_use]
pub fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(unknown, name), name))
        .filter(|&(distance, name)| distance <= (name.len().max(unknown.len()) / 2).max(1))
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn misspellings_find_their_name_and_strangers_find_none() {
        let known = ["lag", "cues", "fillers"];
        assert_eq!(nearest("lags", known), Some("lag"));
        assert_eq!(nearest("filers", known), Some("fillers"));
        assert_eq!(nearest("temperature", known), None);
    }
}
