//! The templates, compiled into the program.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

use crate::ReportError;

/// Templates by name.
const TEMPLATES: [(&str, &str); 4] = [
    ("card", include_str!("../templates/card.md")),
    ("index", include_str!("../templates/index.md")),
    ("headline", include_str!("../templates/headline.md")),
    ("explain", include_str!("../templates/explain.txt")),
];

/// Fills a template. Ends with one line break, and nowhere has two empty lines in a row.
pub(crate) fn fill(name: &str, values: &impl Serialize) -> Result<String, ReportError> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.add_filter("sentence", |text: String| sentence(&text));
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Lines that hold only a block leave no trace.
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    for (name, source) in TEMPLATES {
        environment.add_template(name, source)?;
    }
    let text = environment.get_template(name)?.render(Serde(values))?;
    let mut tidy = String::new();
    for line in text.trim().lines().map(str::trim_end) {
        if !(line.is_empty() && tidy.ends_with("\n\n")) {
            tidy.push_str(line);
            tidy.push('\n');
        }
    }
    Ok(tidy)
}

/// Text that begins with a capital and ends with a full stop.
fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    let stop = if text.is_empty() || text.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::sentence;

    #[test]
    fn sentences_keep_their_names() {
        assert_eq!(sentence("by PyTorch's step times"), "By PyTorch's step times.");
        assert_eq!(sentence("Is it?"), "Is it?");
        assert_eq!(sentence(""), "");
    }
}
