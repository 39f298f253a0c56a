//! Shell patterns for names: `*`, `?`, `[seq]` and `[!seq]`, matched against the whole name, case-sensitive.

use std::str::Chars;

/// Whether the whole of `text` fits `pattern`. A `[` that is never closed stands for itself. Stars are
/// never tried in combination, so no pattern makes this slow.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut rest = Cursor { pattern: pattern.chars(), text: text.chars() };
    // Where to go on when the characters after the last `*` did not fit: the star takes one more character. Earlier
    // stars never need to be tried again, because the last one can take whatever they could.
    let mut last_star: Option<Cursor<'_>> = None;
    loop {
        let mut pattern_after = rest.pattern.clone();
        let mut text_after = rest.text.clone();
        let fits = match pattern_after.next() {
            Some('*') => {
                rest.pattern = pattern_after;
                last_star = Some(rest.clone());
                continue;
            }
            None if text_after.next().is_none() => return true,
            None => false,
            Some(wanted) => match text_after.next() {
                Some(found) => fits_one(wanted, &mut pattern_after, found),
                None => return false,
            },
        };
        if fits {
            rest = Cursor { pattern: pattern_after, text: text_after };
            continue;
        }
        let Some(star) = &mut last_star else { return false };
        if star.text.next().is_none() {
            return false;
        }
        rest = star.clone();
    }
}

#[derive(Clone)]
struct Cursor<'a> {
    pattern: Chars<'a>,
    text: Chars<'a>,
}

/// Whether `found` fits the pattern element that starts with `wanted`; moves `pattern` behind a bracket expression.
fn fits_one(wanted: char, pattern: &mut Chars<'_>, found: char) -> bool {
    match wanted {
        '?' => true,
        '[' => match bracket(pattern.as_str()) {
            Some((set, behind)) => {
                *pattern = behind.chars();
                set.contains(found)
            }
            None => found == '[',
        },
        literal => literal == found,
    }
}

struct Set<'a> {
    negated: bool,
    members: &'a str,
}

/// Splits what follows a `[` into the set and what comes behind its `]`; a `]` in first place is a member.
fn bracket(text: &str) -> Option<(Set<'_>, &str)> {
    let (negated, body) = match text.strip_prefix('!') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let first = body.chars().next()?.len_utf8();
    let length = first + body.get(first..)?.find(']')?;
    Some((Set { negated, members: body.get(..length)? }, body.get(length + 1..)?))
}

impl Set<'_> {
    fn contains(&self, found: char) -> bool {
        let mut members = self.members.chars();
        let mut inside = false;
        while let Some(low) = members.next() {
            let mut ahead = members.clone();
            // A `-` between two members is a range; at either end it is itself.
            let high = match (ahead.next(), ahead.next()) {
                (Some('-'), Some(high)) => {
                    members = ahead;
                    high
                }
                _ => low,
            };
            inside |= (low..=high).contains(&found);
        }
        inside != self.negated
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "cpu.util", true),
            ("cpu", "cpu", true),
            ("cpu", "cpu_util", false),
            ("cpu", "CPU", false),
            ("cpu*", "cpu_util", true),
            ("*.bytes", "disk.read.bytes", true),
            ("*.bytes", "disk.read.bytes.rate", false),
            ("disk.*.bytes", "disk.device.read.bytes", true),
            ("disk.?.bytes", "disk.a.bytes", true),
            ("?", "é", true),
            ("a*b*c", "abbbcbc", true),
            ("a*b*c", "abbbcb", false),
            ("**", "x", true),
            ("x[abc]", "xb", true),
            ("x[abc]", "xd", false),
            ("x[!abc]", "xd", true),
            ("x[!abc]", "xa", false),
            ("x[a-c]", "xb", true),
            ("x[a-]", "x-", true),
            ("x[-a]", "x-", true),
            ("x[z-a]", "xm", false),
            ("x[]]", "x]", true),
            ("x[!]]", "x]", false),
            ("x[", "x[", true),
            ("x[!", "x[!", true),
            ("x[]", "x[]", true),
            ("[!a]*", "bcd", true),
            ("*[0-9]", "load.15", true),
            ("a\nb", "a\nb", true),
            ("a.b", "axb", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern:?} against {text:?}");
        }
    }

    #[test]
    fn many_stars_stay_quick() {
        let pattern = format!("{}b", "a*".repeat(2_000));
        assert!(!matches(&pattern, &"a".repeat(4_000)));
    }

    proptest! {
        #[test]
        fn any_pattern_is_answered(pattern in r"[\*\?\[\]!\-abé]{0,24}", text in "[abé\\-\\]]{0,24}") {
            let _answer: bool = matches(&pattern, &text);
        }

        #[test]
        fn agrees_with_a_plain_recursive_matcher(pattern in r"[\*\?ab]{0,10}", text in "[ab]{0,10}") {
            fn naive(pattern: &[u8], text: &[u8]) -> bool {
                match (pattern.split_first(), text.split_first()) {
                    (None, None) => true,
                    (Some((b'*', rest)), _) => {
                        naive(rest, text) || text.split_first().is_some_and(|(_, text)| naive(pattern, text))
                    }
                    (Some((b'?', rest)), Some((_, text))) => naive(rest, text),
                    (Some((p, rest)), Some((t, text))) => p == t && naive(rest, text),
                    _ => false,
                }
            }
            prop_assert_eq!(matches(&pattern, &text), naive(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
