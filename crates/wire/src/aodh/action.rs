//! Action URLs (alarms-api §3.1).

use crate::aodh::Fault;

/// Schemes this version carries out.
pub const SCHEMES: [&str; 4] = ["http", "https", "log", "test"];
/// Schemes the original knows and this version does not.
const LATER: [&str; 5] = ["trust+http", "trust+https", "zaqar", "trust+zaqar", "trust+heat"];

/// Scheme of an action, lower-case; a fault for one that cannot be carried out.
pub fn scheme(action: &str) -> Result<&'static str, Fault> {
    let unsupported = || Fault::bad(format!("Unsupported action {action}"));
    let (scheme, rest) = action.split_once(':').ok_or_else(unsupported)?;
    let lower = scheme.to_ascii_lowercase();
    if LATER.contains(&lower.as_str()) {
        return Err(Fault::bad(format!("Unsupported action {action}: {lower} is not in this version")));
    }
    let known = SCHEMES.into_iter().find(|known| *known == lower).ok_or_else(unsupported)?;
    let web = known.starts_with("http");
    let host = rest.strip_prefix("//").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let unreadable = || Fault::bad(format!("Unable to parse action {action}"));
    if web && host.is_none_or(|host| host.rsplit('@').next().unwrap_or_default().is_empty()) {
        return Err(unreadable());
    }
    if action.chars().any(|letter| letter.is_control() || letter == ' ') || unclosed_bracket(host) {
        return Err(unreadable());
    }
    Ok(known)
}

fn unclosed_bracket(host: Option<&str>) -> bool {
    host.is_some_and(|host| host.contains('[') != host.contains(']'))
}

/// The action as clients see it: taken apart and put together again, which lowers the scheme and drops empty parts
/// (`log://` becomes `log:`).
pub fn shown(action: &str) -> String {
    let Some((scheme, rest)) = action.split_once(':') else { return action.to_owned() };
    let mut text = format!("{}:", scheme.to_ascii_lowercase());
    let (rest, fragment) =
        rest.split_once('#').map_or((rest, None), |(rest, fragment)| (rest, Some(fragment)));
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    match rest.strip_prefix("//") {
        // An empty host vanishes with its slashes.
        Some(path) if path.is_empty() || path.starts_with('/') => text.push_str(path),
        _ => text.push_str(rest),
    }
    for (mark, part) in [('?', query), ('#', fragment)] {
        if let Some(part) = part.filter(|part| !part.is_empty()) {
            text.push(mark);
            text.push_str(part);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_checked() {
        assert_eq!(scheme("HTTP://host/x"), Ok("http"));
        assert_eq!(scheme("https://u:p@host:1/x?y#z"), Ok("https"));
        assert_eq!(scheme("log://"), Ok("log"));
        for (action, message) in [
            ("spam://x", "Unsupported action spam://x"),
            ("nothing", "Unsupported action nothing"),
            ("http://", "Unable to parse action http://"),
            ("http://[::1/x", "Unable to parse action http://[::1/x"),
            ("trust+http://h", "Unsupported action trust+http://h: trust+http is not in this version"),
        ] {
            assert_eq!(scheme(action).unwrap_err().message, message);
        }
    }

    #[test]
    fn shown_actions_are_rebuilt() {
        for (action, expected) in [
            ("HTTP://x", "http://x"),
            ("log://", "log:"),
            ("test://", "test:"),
            ("log:///a", "log:/a"),
            ("zaqar://?topic=t", "zaqar:?topic=t"),
            ("http://h/p?q=1#f", "http://h/p?q=1#f"),
            ("http://h/p?#", "http://h/p"),
        ] {
            assert_eq!(shown(action), expected);
        }
    }
}
