//! Patterns for the names of meters, and the lists of them that sources have.

use nephos_lang::glob;

/// A shell pattern (`*`, `?`, `[seq]`, `[!seq]`) for whole names, case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Glob(String);

impl Glob {
    /// Any text is a pattern.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The pattern's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole name matches.
    pub fn matches(&self, name: &str) -> bool {
        glob::matches(&self.0, name)
    }
}

/// A source's list of wanted and unwanted names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameFilter {
    wanted: Vec<Glob>,
    unwanted: Vec<Glob>,
}

/// Why a list of names is no filter. `what` is `meters`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FilterFault {
    /// The list is empty.
    Empty,
    /// Plain names beside `!` ones, for which plain ones would be redundant.
    BothKinds,
    /// Plain names beside `*`, which includes them.
    WithWildcard,
}

impl FilterFault {
    /// The original's sentence.
    pub(crate) fn message(self, what: &str) -> String {
        match self {
            Self::Empty => format!("No {what} specified"),
            Self::BothKinds => format!("Both included and excluded {what} specified"),
            Self::WithWildcard => format!("Included {what} specified with wildcard"),
        }
    }
}

impl NameFilter {
    /// From the entries of a file, `!` in front of the unwanted ones. Names that start with `*` may stand beside
    /// both kinds.
    pub(crate) fn new<'a>(entries: impl IntoIterator<Item = &'a str> + Clone) -> Result<Self, FilterFault> {
        let mut empty = true;
        let (mut plain, mut negative, mut everything) = (false, false, false);
        for entry in entries.clone() {
            empty = false;
            negative |= entry.starts_with('!');
            everything |= entry == "*";
            plain |= !entry.starts_with(['!', '*']);
        }
        match (empty, plain && negative, plain && everything) {
            (true, ..) => return Err(FilterFault::Empty),
            (_, true, _) => return Err(FilterFault::BothKinds),
            (_, _, true) => return Err(FilterFault::WithWildcard),
            _ => {}
        }
        let mut filter = Self { wanted: Vec::new(), unwanted: Vec::new() };
        for entry in entries {
            match entry.strip_prefix('!') {
                Some(name) => filter.unwanted.push(Glob::new(name)),
                None => filter.wanted.push(Glob::new(entry)),
            }
        }
        Ok(filter)
    }

    /// Whether the name is wanted: not if an unwanted pattern matches; else if a wanted one does; else only if there
    /// are no wanted ones.
    pub fn matches(&self, name: &str) -> bool {
        !self.unwanted.iter().any(|pattern| pattern.matches(name))
            && (self.wanted.is_empty() || self.wanted.iter().any(|pattern| pattern.matches(name)))
    }

    /// Patterns a name may match.
    pub fn wanted(&self) -> &[Glob] {
        &self.wanted
    }

    /// Patterns a name must not match.
    pub fn unwanted(&self) -> &[Glob] {
        &self.unwanted
    }
}

/// The known name nearest to a mistyped one, if any is near enough to be meant: a few letters differ, or one is the
/// beginning of the other.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let length = name.chars().count();
    if length > 64 {
        return None;
    }
    let cost = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let shorter = length.min(candidate.chars().count());
        let cost = distance(&name, &candidate);
        let begins = shorter >= 4 && (name.starts_with(&candidate) || candidate.starts_with(&name));
        (begins || cost <= 1.max(shorter / 3)).then_some(cost)
    };
    known
        .into_iter()
        .filter_map(|candidate| Some((cost(candidate)?, candidate)))
        .min_by_key(|(cost, _)| *cost)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours between two words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let at = |cells: &[usize], index: usize| cells.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut best =
                (at(&above, j) + usize::from(from != to)).min(at(&above, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(to) && b.get(j - 1) == Some(from);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_follow_the_rules_of_the_original() {
        for (entries, name, expected) in [
            (&["*"][..], "anything", true),
            (&["cpu"], "cpu", true),
            (&["cpu"], "cpu_util", false),
            (&["disk.*"], "disk.read.bytes", true),
            (&["!cpu"], "cpu", false),
            (&["!cpu"], "memory", true),
            (&["*", "!cpu"], "cpu", false),
            (&["*", "!cpu"], "memory", true),
            (&["*.bytes", "!disk.*"], "disk.read.bytes", false),
            (&["*.bytes", "!disk.*"], "network.incoming.bytes", true),
            (&["*.bytes", "!disk.*"], "cpu", false),
            (&["host.cpu.[!i]*"], "host.cpu.user", true),
            (&["host.cpu.[!i]*"], "host.cpu.idle", false),
            (&["Cpu"], "cpu", false),
            (&["c?u"], "cpu", true),
        ] {
            let filter = NameFilter::new(entries.iter().copied()).unwrap();
            assert_eq!(filter.matches(name), expected, "{entries:?} {name}");
        }
    }

    #[test]
    fn contradicting_lists_are_refused() {
        for (entries, fault) in [
            (&[][..], FilterFault::Empty),
            (&["cpu", "!memory"], FilterFault::BothKinds),
            (&["*", "cpu"], FilterFault::WithWildcard),
            (&["*", "cpu", "!x"], FilterFault::BothKinds),
        ] {
            assert_eq!(NameFilter::new(entries.iter().copied()), Err(fault), "{entries:?}");
        }
    }

    #[test]
    fn only_near_names_are_suggested() {
        let known = ["listen", "auth_mode", "max_limit", "tls"];
        for (name, expected) in [
            ("lisen", Some("listen")),
            ("lsiten", Some("listen")),
            ("LISTEN", Some("listen")),
            ("authmode", Some("auth_mode")),
            ("tsl", Some("tls")),
            ("auth", Some("auth_mode")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
    }
}
