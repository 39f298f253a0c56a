//! `CREATE DATABASE <name>`: what clients send before they write.

/// The name in such a statement; nothing for any other. What follows the name is not looked at.
pub fn create_database(statement: &str) -> Option<String> {
    let rest = keyword(statement, "create")?;
    let rest = keyword(rest, "database")?;
    if let Some(quoted) = rest.strip_prefix('"') {
        return quoted_name(quoted);
    }
    let length = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let name = rest.get(..length.unwrap_or(rest.len()))?;
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    starts_well.then(|| name.to_owned())
}

/// What is after a word in any letter case and the space behind it.
fn keyword<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (head, rest) = text.trim_start().split_at_checked(word.len())?;
    let is_word = head.eq_ignore_ascii_case(word) && rest.starts_with(char::is_whitespace);
    is_word.then(|| rest.trim_start())
}

fn quoted_name(text: &str) -> Option<String> {
    let mut name = String::new();
    let mut letters = text.chars();
    loop {
        match letters.next()? {
            '"' if name.is_empty() => return None,
            '"' => return Some(name),
            '\\' => name.push(letters.next()?),
            letter => name.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_statements_that_create_a_database_name_one() {
        for (statement, expected) in [
            ("create database influxdbtest", Some("influxdbtest")),
            ("CREATE DATABASE \"my db\"", Some("my db")),
            ("  Create\n Database  _a1;", Some("_a1")),
            ("create database a WITH DURATION 1d", Some("a")),
            (r#"create database "a\"b""#, Some("a\"b")),
            ("create database 1a", None),
            ("create database", None),
            ("create database \"a", None),
            ("create database \"\"", None),
            ("createdatabase a", None),
            ("select metrics plz", None),
            ("", None),
        ] {
            assert_eq!(create_database(statement).as_deref(), expected, "{statement}");
        }
    }
}
