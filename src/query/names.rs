//! Names near an unknown one.

/// At most this many are offered.
const NEAR_MAX: usize = 3;
/// Longer names are not measured: the work grows with the square.
const NAME_CHARS_MAX: usize = 128;

/// The names closest to `name`, the nearest first: those that differ in a third of their letters at most
/// (in two, if they are short), case aside, or that contain it.
pub(crate) fn near<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let wanted: Vec<char> = name.to_lowercase().chars().take(NAME_CHARS_MAX).collect();
    let mut found: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|candidate| {
            let letters: Vec<char> = candidate
                .to_lowercase()
                .chars()
                .take(NAME_CHARS_MAX)
                .collect();
            let distance = distance(&wanted, &letters);
            let longer = wanted.len().max(letters.len());
            // Two letters exchanged are a distance of two.
            let allowed = (longer / 3).max(if longer < 4 { 1 } else { 2 });
            let contains =
                wanted.len() >= 3 && candidate.to_lowercase().contains(&name.to_lowercase());
            (distance <= allowed || contains).then_some((distance, candidate))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
        .into_iter()
        .take(NEAR_MAX)
        .map(|(_, candidate)| candidate.to_owned())
        .collect()
}

/// Levenshtein distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(letter != other);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_stands_first() {
        let known = ["usage_user", "usage_system", "temperature"];
        assert_eq!(near("usage_usr", known), ["usage_user"]);
        assert_eq!(near("temp", known), ["temperature"]);
        assert!(near("pressure", known).is_empty());
    }
}
