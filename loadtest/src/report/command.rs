//! The command line that made a report, as it could be typed again.
//! Not its meaning, and not the secrets in it: reports are passed on.

/// Flags whose value is a header line.
const HEADER_FLAGS: [&str; 1] = ["--header"];
/// Words in a header's name that say that its value is nobody's business.
const SECRETS: [&str; 7] = ["auth", "cookie", "token", "secret", "key", "password", "session"];
const HIDDEN: &str = "...";

/// This process's command line.
pub fn command_line() -> String {
    spelled(std::env::args_os().map(|word| word.to_string_lossy().into_owned()))
}

/// A line longer than this is broken before each flag, as a shell allows.
const WIDTH: usize = 90;

/// Words as a shell would take them, the program by its bare name.
fn spelled(words: impl Iterator<Item = String>) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut header_follows = false;
    for (index, word) in words.enumerate() {
        let word = match word.split_once('=') {
            _ if index == 0 => word.rsplit('/').next().unwrap_or_default().to_owned(),
            _ if header_follows => without_secret(&word),
            Some((flag, value)) if HEADER_FLAGS.contains(&flag) => {
                format!("{flag}={}", without_secret(value))
            }
            _ => word,
        };
        header_follows = HEADER_FLAGS.contains(&word.as_str());
        out.push(quoted(&word));
    }
    let line = out.join(" ");
    if line.len() <= WIDTH { line } else { broken(&out) }
}

/// Each flag with its value on a line of its own.
fn broken(words: &[String]) -> String {
    let mut out = String::new();
    for word in words {
        out.push_str(match word {
            _ if out.is_empty() => "",
            flag if flag.starts_with('-') => " \\\n    ",
            _ => " ",
        });
        out.push_str(word);
    }
    out
}

/// A header line, its value left out where the name sounds like a secret.
fn without_secret(header: &str) -> String {
    let (name, _) = header.split_once(':').unwrap_or((header, ""));
    let lower = name.to_ascii_lowercase();
    if SECRETS.iter().any(|secret| lower.contains(secret)) {
        format!("{name}: {HIDDEN}")
    } else {
        header.to_owned()
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str]) -> String {
        spelled(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn a_command_line_can_be_typed_again() {
        let words = ["/usr/bin/x", "echo", "--fail-if", "p99>5ms", "--message", "it's", ""];
        assert_eq!(line(&words), r"x echo --fail-if 'p99>5ms' --message 'it'\''s' ''");
    }

    #[test]
    fn long_command_lines_are_broken_where_a_shell_allows() {
        let url = format!("ws://h/{}", "x".repeat(WIDTH));
        let words = ["x", "echo", "--url", &url, "-q"];
        assert_eq!(line(&words), format!("x echo \\\n    --url {url} \\\n    -q"));
    }

    #[test]
    fn secrets_in_headers_are_not_passed_on() {
        let words = ["x", "--header", "Authorization: Bearer abc", "--header=X-Api-Key: abc"];
        let shown = line(&words);
        assert!(!shown.contains("abc") && shown.contains("Authorization: ..."), "{shown}");
        assert_eq!(line(&["x", "--header", "Origin: http://a"]), "x --header 'Origin: http://a'");
    }
}
