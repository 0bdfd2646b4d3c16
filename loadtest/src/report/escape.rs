//! Text from outside, made harmless inside HTML and its attributes.
//! Not the page; whatever a server, a user or an error brought to it passes through here.

use std::fmt::{self, Display, Write};

/// Shows a text with everything escaped that means something in HTML.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<T>(pub T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.write_str("&amp;")?,
                '<' => self.0.write_str("&lt;")?,
                '>' => self.0.write_str("&gt;")?,
                '"' => self.0.write_str("&quot;")?,
                '\'' => self.0.write_str("&#39;")?,
                '\n' | '\t' => self.0.write_char(c)?,
                // Controls have no place in HTML, and those that turn the direction of writing
                // would let a text pass for another.
                c if c.is_control() => self.0.write_char(char::REPLACEMENT_CHARACTER)?,
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    self.0.write_char(char::REPLACEMENT_CHARACTER)?;
                }
                c => self.0.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_means_something_in_html_is_left() {
        let nasty = "<script>alert(\"1\" & '2')</script>\0\u{202e}";
        let shown = Escaped(nasty).to_string();
        assert_eq!(
            shown,
            "&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;\u{fffd}\u{fffd}"
        );
        assert_eq!(Escaped("plain, é, 日本").to_string(), "plain, é, 日本");
    }
}
