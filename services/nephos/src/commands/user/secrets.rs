//! Passwords from files, standard input or a terminal that does not show them.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::{ExposeSecret, SecretString};

/// Longest line that is read.
const LONGEST: u64 = 64 * 1024;

/// The first line of a file; `-` is standard input.
pub(crate) fn read_password(file: &Path) -> anyhow::Result<SecretString> {
    if file == Path::new("-") {
        return first_line(std::io::stdin().lock()).context("read the password from standard input");
    }
    let open = || first_line(File::open(file)?);
    open().with_context(|| format!("read the password in {}", file.display()))
}

/// Asks for a password twice, without showing it.
pub(super) fn ask(prompt: &str) -> anyhow::Result<SecretString> {
    if !std::io::stdin().is_terminal() {
        bail!(
            "there is no terminal to ask for the password at: use --password-file FILE, - for standard input"
        );
    }
    let first = ask_once(prompt)?;
    let second = ask_once("The same again: ")?;
    if first.expose_secret() != second.expose_secret() {
        bail!("the two passwords differ");
    }
    Ok(first)
}

fn ask_once(prompt: &str) -> anyhow::Result<SecretString> {
    let mut err = std::io::stderr();
    write!(err, "{prompt}")?;
    err.flush()?;
    let silent = Silent::begin()?;
    let line = first_line(std::io::stdin().lock());
    drop(silent);
    writeln!(err)?;
    line.context("read the password")
}

fn first_line(from: impl Read) -> anyhow::Result<SecretString> {
    let mut line = String::new();
    BufReader::new(from.take(LONGEST)).read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("it is empty");
    }
    Ok(SecretString::from(password))
}

/// While it lives the terminal does not show what is typed.
struct Silent(Termios);

impl Silent {
    fn begin() -> anyhow::Result<Self> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).context("ask the terminal for its modes")?;
        let mut modes = before.clone();
        modes.local_modes &= !LocalModes::ECHO;
        tcsetattr(&stdin, OptionalActions::Flush, &modes).context("make the terminal silent")?;
        Ok(Self(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing back.
        let _gone = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_counts() {
        let read = |text: &str| first_line(text.as_bytes()).map(|line| line.expose_secret().to_owned()).ok();
        for (text, expected) in [
            ("secret", Some("secret")),
            ("secret\n", Some("secret")),
            ("secret\r\nmore\n", Some("secret")),
            (" with blanks \n", Some(" with blanks ")),
            ("", None),
            ("\nsecret\n", None),
        ] {
            assert_eq!(read(text).as_deref(), expected, "{text:?}");
        }
    }
}
